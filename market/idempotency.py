"""Doing once what a client asks for repeatedly, because the answer did not reach it.

The client names its request by a key. The answer is stored in the transaction of the effect, so there is never one
without the other, and a repeated request under the same key gets the same answer.
"""

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from store.models import IdempotencyKey

R = TypeVar("R", bound=msgspec.Struct)

KEPT_S = 24 * 3600
"""How long an answer is remembered. After that the same key is a new request."""


class IdempotencyClaim(msgspec.Struct, frozen=True):
    """A request by its user and key. `fingerprint` tells it from another request under the same key."""

    user_id: UUID
    key: str
    fingerprint: bytes


class Replayed(Exception):
    """The request was answered before, with `status` and `body` (JSON). The transaction has nothing to commit."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def once(session: Session, claim: IdempotencyClaim, status: int, use_case: Callable[[Session], R]) -> R:
    """What `use_case` returns, which is stored as the answer with `status`.

    Raises `Replayed` if it was done before. Refuses with `idempotency_key_reused` (for another request),
    `idempotency_in_flight` (at this moment) or as the use-case does: a refusal has changed nothing and is not stored.
    """
    if not session.scalar(select(func.pg_try_advisory_xact_lock(_lock(claim)))):
        raise Refusal(GeneralRefusal.IDEMPOTENCY_IN_FLIGHT)
    # A statement of its own, so that it sees what the last holder of the lock has committed.
    known = session.get(IdempotencyKey, (claim.user_id, claim.key))
    if known is not None:
        if known.fingerprint != claim.fingerprint:
            raise Refusal(GeneralRefusal.IDEMPOTENCY_KEY_REUSED)
        raise Replayed(known.status, known.body)
    result = use_case(session)
    session.add(
        IdempotencyKey(
            user_id=claim.user_id,
            key=claim.key,
            fingerprint=claim.fingerprint,
            status=status,
            body=msgspec.json.encode(result),
        )
    )
    return result


def forget_old(session: Session) -> None:
    """Delete what was kept for `KEPT_S`."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - timedelta(seconds=KEPT_S)),
        execution_options={"synchronize_session": False},
    )


def _lock(claim: IdempotencyClaim) -> int:
    """The claim as the number of an advisory lock, which ends with its transaction, also when the process dies."""
    digest = sha256(claim.user_id.bytes + claim.key.encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete the kept answers of a user, whose account is deleted: they repeat what the user has written."""
    session.execute(
        delete(IdempotencyKey).where(IdempotencyKey.user_id == user_id),
        execution_options={"synchronize_session": False},
    )
