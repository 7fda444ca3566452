"""How the open sockets hear of revoked sessions: a message for those who listen, a key for those who come back later.

The key is set before the message is sent. So a process that first notes whose socket it is and then looks for the key
misses nothing: either the key is there, or the message is still to come. Everything raises `redis.RedisError`.
"""

from collections.abc import Sequence
from uuid import UUID

from store.redis.hot import Hot, SyncHot

CHANNEL = "revocations"
"""The sharded channel; each message is the id of a session."""

KEEP_S = 24 * 3600
"""How long a revocation can be looked up: far longer than tickets live or a realtime process goes without Redis."""


async def publish(hot: Hot, session_ids: Sequence[UUID]) -> None:
    """Tell every realtime process that these sessions are over. Doing it again is harmless."""
    pipe = hot.client.pipeline(transaction=False)
    for session_id in session_ids:
        pipe.set(_key(session_id), 1, ex=KEEP_S)
        pipe.execute_command("SPUBLISH", CHANNEL, str(session_id))
    await pipe.execute()


def publish_from_task(hot: SyncHot, session_ids: Sequence[UUID]) -> None:
    """The same for Celery."""
    pipe = hot.client.pipeline(transaction=False)
    for session_id in session_ids:
        pipe.set(_key(session_id), 1, ex=KEEP_S)
        pipe.execute_command("SPUBLISH", CHANNEL, str(session_id))
    pipe.execute()


async def revoked(hot: Hot, session_ids: Sequence[UUID]) -> list[UUID]:
    """Which of these sessions were revoked."""
    pipe = hot.client.pipeline(transaction=False)
    for session_id in session_ids:
        pipe.exists(_key(session_id))
    answers = await pipe.execute()
    return [session_id for session_id, there in zip(session_ids, answers, strict=True) if there]


def _key(session_id: UUID) -> str:
    return f"revoked:{session_id}"
