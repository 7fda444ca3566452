"""The second factor: codes from an app on the user's phone (TOTP, RFC 6238), and recovery codes for users who lose it.

Time is PostgreSQL's clock. Everything that uses or changes a factor holds the lock of its user's row, as log-ins and
changes of the password do: of many at once each sees what the one before has done. So a code is accepted once.

A wrong code is the answer `WrongCode`, to be committed, because it counts. After some the next is not looked at for
longer and longer, whatever address it comes from. Only who knows the password gets that far.
"""

import hmac
import re
import secrets
from base64 import b32encode
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil
from typing import Literal
from uuid import UUID

import msgspec
import pyotp
from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from market.accounts.refusals import AccountRefusal
from market.errors import Refusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.times import clock
from store.ids import new_id
from store.models import Event, RecoveryCode, SecondFactor, User
from store.redis import attempts
from store.vault import Vault

STEP_S = 30
DRIFT_STEPS = 1
"""A code counts this many steps before and after its own: clocks differ, and people type slowly."""

RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 random bits need no slow hash."""

PENDING_S = 15 * 60
"""What was begun is to be confirmed within this time."""

ISSUER = "NeighborBid"

LONGEST_DELAY_MS = 15 * 60 * 1000
"""Far longer than for passwords: only who knows the password can make the owner wait, and there are few codes."""


class Status(msgspec.Struct, frozen=True):
    """Whether log-ins require a code. `pending`: not yet, the first code is awaited."""

    state: Literal["off", "pending", "on"]
    recovery_codes_left: int


class Enrolment(msgspec.Struct, frozen=True):
    """What the app on the phone needs, shown once: the secret, and the same as the address of a QR code."""

    secret: str
    uri: str


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Codes that replace one of the app, once each. They are shown once."""

    recovery_codes: list[str]


class WrongCode(msgspec.Struct, frozen=True):
    """The code was wrong; that must be committed."""


def status(session: Session, user_id: UUID) -> Status:
    """How the user's second factor stands."""
    factor = session.get(SecondFactor, user_id)
    if factor is not None and factor.confirmed_at is not None:
        codes = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
        return Status("on", session.scalars(codes).one())
    return Status("pending" if factor is not None and _is_fresh(session, factor) else "off", 0)


def begin(session: Session, vault: Vault, user_id: UUID, password_hash: str) -> Enrolment:
    """Make a secret. Nothing is on before a code proves that the app has it. What was begun before is void.

    Refuses with `second_factor_on`, and as `_lock` does.
    """
    email = _lock(session, user_id, password_hash)
    factor = session.get(SecondFactor, user_id)
    if factor is not None and factor.confirmed_at is not None:
        raise Refusal(AccountRefusal.SECOND_FACTOR_ON)
    session.execute(delete(SecondFactor).where(SecondFactor.user_id == user_id))
    secret = pyotp.random_base32()
    kid, sealed = vault.seal(secret, _place(user_id))
    session.execute(insert(SecondFactor).values(user_id=user_id, kid=kid, sealed_secret=sealed))
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


def confirm(session: Session, vault: Vault, user_id: UUID, code: str) -> RecoveryCodes | WrongCode:
    """Switch on what was begun. Every other session of the user should end then.

    Refuses with `second_factor_on`, `second_factor_off` (nothing was begun lately) and `too_many_attempts`.
    """
    _lock(session, user_id)
    factor = session.get(SecondFactor, user_id)
    if factor is not None and factor.confirmed_at is not None:
        raise Refusal(AccountRefusal.SECOND_FACTOR_ON)
    if factor is None or not _is_fresh(session, factor):
        raise Refusal(
            AccountRefusal.SECOND_FACTOR_OFF,
            "There is nothing to confirm any more. Set it up again.",
        )
    if not _use(session, vault, factor, code):
        return WrongCode()
    factor.confirmed_at = clock(session)
    _tell(session, user_id, on=True)
    return _new_recovery_codes(session, user_id)


def renew_recovery_codes(
    session: Session, vault: Vault, user_id: UUID, password_hash: str, code: str
) -> RecoveryCodes | WrongCode:
    """New recovery codes instead of those before. Refuses as `disable` does."""
    _lock(session, user_id, password_hash)
    if not _use(session, vault, _confirmed(session, user_id), code):
        return WrongCode()
    _tell(session, user_id, on=True)
    return _new_recovery_codes(session, user_id)


def disable(session: Session, vault: Vault, user_id: UUID, password_hash: str, code: str) -> WrongCode | None:
    """Switch the second factor off. A recovery code does, too.

    Refuses with `second_factor_off`, `too_many_attempts` and as `_lock` does.
    """
    _lock(session, user_id, password_hash)
    factor = _confirmed(session, user_id)
    if not _use(session, vault, factor, code):
        return WrongCode()
    session.delete(factor)
    _tell(session, user_id, on=False)
    return None


def admits(session: Session, vault: Vault, user_id: UUID, code: str | None) -> bool:
    """Whether `code` is what a log-in takes beside the password, which was proven; the code is used up then. The caller
    has locked the user's row.

    Refuses with `second_factor_required` without a code, and with `too_many_attempts`.
    """
    factor = session.get(SecondFactor, user_id)
    if factor is None or factor.confirmed_at is None:
        return True
    if code is None:
        raise Refusal(AccountRefusal.SECOND_FACTOR_REQUIRED)
    return _use(session, vault, factor, code)


def _tell(session: Session, user_id: UUID, *, on: bool) -> None:
    """Notify the user that the second factor is on or off now, or has new recovery codes."""
    notifications.notify(
        session, [NewNotification(user_id, Event.SECOND_FACTOR_CHANGED, str(new_id()), {"on": on})]
    )


def matching_step(secret: str, code: str, now_s: float, last_step: int) -> int | None:
    """The time step whose code this is, among those that count at `now_s`. A step that was used is over, and so are
    those before it."""
    now = int(now_s) // STEP_S
    for step in range(max(now - DRIFT_STEPS, last_step + 1), now + DRIFT_STEPS + 1):
        if hmac.compare_digest(pyotp.HOTP(secret).at(step).encode(), code.encode()):
            return step
    return None


def _lock(session: Session, user_id: UUID, password_hash: str | None = None) -> str:
    """Lock the user's row; the e-mail address. Refuses with `invalid_credentials` if the password that was checked was
    changed meanwhile."""
    which = User.id == user_id
    if password_hash is not None:
        which &= User.password_hash == password_hash
    email = session.scalar(select(User.email).where(which).with_for_update(key_share=True))
    if email is None:
        raise Refusal(AccountRefusal.INVALID_CREDENTIALS)
    return email


def _confirmed(session: Session, user_id: UUID) -> SecondFactor:
    factor = session.get(SecondFactor, user_id)
    if factor is None or factor.confirmed_at is None:
        raise Refusal(AccountRefusal.SECOND_FACTOR_OFF)
    return factor


def _use(session: Session, vault: Vault, factor: SecondFactor, code: str) -> bool:
    """Whether the code is right; then it is used up, else counted. Refuses with `too_many_attempts`."""
    now = clock(session)
    if factor.blocked_until is not None and factor.blocked_until > now:
        raise Refusal(
            AccountRefusal.TOO_MANY_ATTEMPTS,
            retry_after_s=ceil((factor.blocked_until - now).total_seconds()),
        )
    code = re.sub(r"[\s-]", "", code).lower()
    if not (_use_recovery_code(session, factor, code) or _use_app_code(vault, factor, code, now)):
        factor.failures += 1
        factor.blocked_until = now + _delay(factor.failures)
        return False
    factor.failures, factor.blocked_until = 0, None
    return True


def _use_recovery_code(session: Session, factor: SecondFactor, code: str) -> bool:
    used = delete(RecoveryCode).where(
        RecoveryCode.user_id == factor.user_id, RecoveryCode.code_hash == _hash(code)
    )
    return session.scalar(used.returning(RecoveryCode.user_id)) is not None


def _use_app_code(vault: Vault, factor: SecondFactor, code: str, now: datetime) -> bool:
    secret = vault.open(factor.kid, factor.sealed_secret, _place(factor.user_id))
    step = matching_step(secret, code, now.timestamp(), factor.last_step)
    if step is None:
        return False
    factor.last_step = step
    # By and by everything moves to the first key, so that old ones can be dropped.
    factor.kid, factor.sealed_secret = vault.seal(secret, _place(factor.user_id))
    return True


def _new_recovery_codes(session: Session, user_id: UUID) -> RecoveryCodes:
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    rows = [{"user_id": user_id, "code_hash": _hash(code)} for code in codes]
    session.execute(insert(RecoveryCode), rows)
    return RecoveryCodes(["-".join(re.findall("....", code)) for code in codes])


def _hash(code: str) -> bytes:
    return sha256(code.encode()).digest()


def _delay(failures: int) -> timedelta:
    """As for wrong passwords: nothing for the first ones, then twice as long each time, up to a limit."""
    if failures < attempts.FREE:
        return timedelta(0)
    delay_ms = attempts.FIRST_DELAY_MS * 2 ** min(failures - attempts.FREE, 30)
    return timedelta(milliseconds=min(delay_ms, LONGEST_DELAY_MS))


def _is_fresh(session: Session, factor: SecondFactor) -> bool:
    return clock(session) - factor.created_at < timedelta(seconds=PENDING_S)


def _place(user_id: UUID) -> bytes:
    return b"second_factors " + user_id.bytes


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete the second factor of a user, whose account is deleted."""
    session.execute(
        delete(SecondFactor).where(SecondFactor.user_id == user_id),
        execution_options={"synchronize_session": False},
    )
