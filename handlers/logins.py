"""What a password check and the end of a session take, wherever they happen."""

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

import structlog
from redis import RedisError

from handlers.base import ApiHandler
from market import sessions
from market.errors import Refusal
from market.factors import WrongCode
from store import attempts, revocations

R = TypeVar("R")

log = structlog.get_logger()


async def check_password(
    handler: ApiHandler,
    account: str,
    password_hash: str | None,
    password: str,
    *,
    more_to_come: bool = False,
) -> bool:
    """Whether the password is right, at the same cost for an unknown account (without a hash).

    With `more_to_come` the attempt counts even so, until the caller says `forget_attempts`.

    Refuses with `too_many_attempts` when this address has failed too often with this account, known or not. While
    Redis is away nothing is counted: the gateway's limit and the few threads that hash still bound the guessing.
    """
    hot, address = handler.services.hot, handler.request.remote_ip or ""
    try:
        wait_ms = await attempts.begin(hot, account, address)
    except RedisError as error:
        log.warning("attempt_not_counted", error=str(error))
        wait_ms = 0
    if wait_ms > 0:
        raise Refusal(
            "too_many_attempts",
            "Too many wrong passwords. Please wait before the next attempt.",
            retry_after_s=-(-wait_ms // 1000),
        )
    right = await handler.services.passwords.verify(password_hash, password)
    if right and not more_to_come:
        await forget_attempts(handler, account)
    return right


async def forget_attempts(handler: ApiHandler, account: str) -> None:
    """All was right: the next failures start from the beginning."""
    try:
        await attempts.forget(handler.services.hot, account, handler.request.remote_ip or "")
    except RedisError as error:
        log.warning("attempts_not_forgotten", error=str(error))


def accepted(outcome: R | WrongCode) -> R:
    """The outcome, unless it is the wrong code: that is committed by now and refused with `invalid_code`."""
    if isinstance(outcome, WrongCode):
        raise Refusal("invalid_code", "The code is wrong, too old or used.")
    return outcome


async def tell_revoked(handler: ApiHandler, session_ids: Sequence[UUID]) -> None:
    """Close the open sockets of sessions whose revocation is committed. What Redis does not hear, the sweep tells."""
    try:
        await revocations.publish(handler.services.hot, session_ids)
    except RedisError as error:
        log.warning("revocation_left_to_sweep", error=str(error))
        return
    await handler.use(sessions.told, session_ids)
