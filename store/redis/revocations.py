"""How the open sockets learn of revoked sessions: a message for those who listen, a key for those who come back later.

The key is set before the message is sent. So a process that first notes whose socket it is and then looks for the key
misses nothing: either the key is there, or the message is still to come.
"""

from collections.abc import Sequence
from uuid import UUID

from redis.client import Pipeline

from store.redis.calls import Batch, nothing

CHANNEL = "revocations"
"""The sharded channel; each message is the id of a session."""

KEEP_S = 24 * 3600
"""How long a revocation can be looked up: far longer than tickets live or a realtime process goes without Redis."""


def publish(session_ids: Sequence[UUID]) -> Batch[None]:
    """Notify every realtime process that these sessions are over. Doing it again is harmless."""

    def ask(pipe: Pipeline) -> None:
        for session_id in session_ids:
            pipe.set(_key(session_id), 1, ex=KEEP_S)
            pipe.execute_command("SPUBLISH", CHANNEL, str(session_id))

    return Batch(ask, nothing)


def revoked(session_ids: Sequence[UUID]) -> Batch[list[UUID]]:
    """Which of these sessions were revoked."""

    def ask(pipe: Pipeline) -> None:
        for session_id in session_ids:
            pipe.exists(_key(session_id))

    return Batch(
        ask,
        lambda answers: [session_id for session_id, there in zip(session_ids, answers, strict=True) if there],
    )


def _key(session_id: UUID) -> str:
    return f"revoked:{session_id}"
