"""What a password check and a log-in take, wherever they happen."""

import hmac
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog
from redis import RedisError

from handlers.http import limits
from handlers.http.base import ApiHandler
from market.accounts.refusals import AccountRefusal
from market.accounts.two_factor import WrongCode
from market.errors import Refusal
from market.moderation import fraud_signals
from store.redis import attempts

R = TypeVar("R")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt with the right password, and whether it was counted."""

    counted: bool


async def check_password(
    handler: ApiHandler,
    account: UUID | str,
    password_hash: str | None,
    password: str,
    *,
    more_to_come: bool = False,
) -> Attempt | None:
    """None unless the password is right, at the same cost for an unknown account (without a hash).

    `account` is the user's id, or the e-mail address that nobody has. With `more_to_come` the attempt counts even if
    it is right, until the caller says `forget_attempts`.

    Refuses with `too_many_attempts` when this address has failed too often with this account, known or not, and with
    `busy`, which counts as no attempt. While Redis is away nothing is counted: the gateway's limit and the few threads
    that hash still bound the guessing.
    """
    with handler.services.passwords.slot():
        counted = await _count_attempt(handler, account)
        right = await handler.services.passwords.verify(password_hash, password)
    if not right:
        return None
    if counted and not more_to_come:
        await forget_attempts(handler, account)
    return Attempt(counted)


async def forget_attempts(handler: ApiHandler, account: UUID | str) -> None:
    """All was right: the next failures start from the beginning."""
    try:
        await handler.services.hot.run(attempts.forget(str(account), _address(handler)))
    except RedisError as error:
        log.warning("attempts_not_forgotten", error=str(error))


def _address(handler: ApiHandler) -> str:
    return limits.who(None, handler.request.remote_ip or "")


async def _count_attempt(handler: ApiHandler, account: UUID | str) -> bool:
    """False while Redis is away."""
    try:
        wait_ms = await handler.services.hot.run(attempts.begin(str(account), _address(handler)))
    except RedisError as error:
        log.warning("attempt_not_counted", error=str(error))
        return False
    if wait_ms > 0:
        # Whom nobody knows is not named: e-mail addresses stay out of the log.
        user_id = str(account) if isinstance(account, UUID) else None
        log.warning("log_in_refused_too_many_attempts", user_id=user_id)
        raise Refusal(
            AccountRefusal.TOO_MANY_ATTEMPTS,
            retry_after_s=-(-wait_ms // 1000),
        )
    return True


def accepted(outcome: R | WrongCode) -> R:
    """The outcome, unless it is the wrong code: that is committed by now and refused with `invalid_code`."""
    if isinstance(outcome, WrongCode):
        raise Refusal(AccountRefusal.INVALID_CODE)
    return outcome


async def leave_trace(handler: ApiHandler, user_id: UUID) -> None:
    """Note from where, and with what, somebody has logged in. What is stored tells nobody either."""
    headers = handler.request.headers
    device = f"{headers.get('User-Agent', '')}\n{headers.get('Accept-Language', '')}"
    hashes = (
        hmac.digest(handler.services.trace_key, part.encode(), "sha256")
        for part in (_address(handler), device)
    )
    await handler.use(fraud_signals.remember_log_in, user_id, *hashes)
