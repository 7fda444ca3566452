"""The second factor: which codes count, how often, and how often one may guess."""

import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any
from uuid import UUID

import pyotp
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from market.accounts import accounts, sessions, two_factor
from market.accounts.sessions import Lifetime, LogIn, RefreshToken
from market.accounts.two_factor import (
    PENDING_S,
    RECOVERY_CODES,
    STEP_S,
    RecoveryCodes,
    Status,
    WrongCode,
    matching_step,
)
from store import models
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Notification, SecondFactor
from store.redis import attempts
from store.vault import Vault
from tests.support.factories import NO_PASSWORD, make_user
from tests.support.races import at_once
from tests.support.use_cases import UseCases

VAULT = Vault({"test": os.urandom(32)})
LIFETIME = Lifetime(60, 120)
WRONG = "no code"


@dataclass
class User(UseCases):
    """A user whose second factor is on, below the doors."""

    id: UUID
    secret: str
    recovery_codes: list[str]
    vault: Vault = VAULT

    def log_in(self, code: str | None) -> LogIn | WrongCode:
        """Log in with the right password."""
        token = RefreshToken.new()
        outcome = self.do(sessions.log_in, self.vault, self.id, NO_PASSWORD, code, token, LIFETIME)
        assert isinstance(outcome, LogIn | WrongCode)
        return outcome

    def change(self, **columns: Any) -> None:
        """Change the row of the factor: let time pass for it."""
        with self.database.transaction() as session:
            session.execute(update(SecondFactor).where(SecondFactor.user_id == self.id).values(**columns))

    def row(self) -> Any:
        """The row of the factor, and PostgreSQL's clock as `now`."""
        with self.database.transaction() as session:
            columns = SecondFactor.__table__.columns
            return session.execute(
                select(*columns, func.clock_timestamp().label("now")).where(SecondFactor.user_id == self.id)
            ).one()

    def open_sessions(self) -> int:
        """How many log-ins are not over."""
        with self.database.transaction() as session:
            which = (models.Session.user_id == self.id) & models.Session.revoked_at.is_(None)
            return session.scalars(select(func.count()).select_from(models.Session).where(which)).one()


def app_code(secret: str, ahead: int = 0) -> str:
    """What the app shows now, or so many steps later."""
    return pyotp.HOTP(secret).at(int(time.time()) // STEP_S + ahead)


@pytest.fixture
def make(sync_database: SyncDatabase) -> Callable[..., User]:
    """Makes users. Their second factor is on, and no code was used yet, unless `confirmed` is false."""

    def make(confirmed: bool = True) -> User:
        with sync_database.transaction() as session:
            user_id = make_user(session)
        user = User(sync_database, user_id, "", [])
        user.secret = user.do(two_factor.begin, VAULT, user_id, NO_PASSWORD).secret
        if confirmed:
            codes = user.do(two_factor.confirm, VAULT, user_id, app_code(user.secret))
            assert isinstance(codes, RecoveryCodes)
            user.recovery_codes = codes.recovery_codes
            user.change(last_step=0)
        return user

    return make


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first delay lasts longer than any test."""
    monkeypatch.setattr(attempts, "FIRST_DELAY_MS", 60_000)


@pytest.mark.parametrize(
    ("at_s", "digits_8"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238_appendix_b(at_s: int, digits_8: str) -> None:
    secret = base64.b32encode(b"12345678901234567890").decode()
    assert matching_step(secret, digits_8[2:], at_s, 0) == at_s // STEP_S


def test_a_code_counts_one_step_before_and_after_its_own() -> None:
    secret, step = pyotp.random_base32(), 50_000_000
    for now_s in (step * STEP_S, step * STEP_S + STEP_S - 0.001):
        found = {
            ahead: matching_step(secret, pyotp.HOTP(secret).at(step + ahead), now_s, 0)
            for ahead in range(-3, 4)
        }
        assert found == {-3: None, -2: None, -1: step - 1, 0: step, 1: step + 1, 2: None, 3: None}


def test_no_step_counts_twice_nor_one_before_it() -> None:
    secret, step = pyotp.random_base32(), 50_000_000
    codes = [pyotp.HOTP(secret).at(step + ahead) for ahead in (-1, 0, 1)]
    found = [matching_step(secret, code, step * STEP_S, last_step=step) for code in codes]
    assert found == [None, None, step + 1]


@pytest.mark.parametrize("code", ["", "1", "１２３４５６", "1234567", "\0", "%s" % ("x" * 32)])
def test_what_is_no_code_is_wrong(make: Callable[..., User], code: str) -> None:
    assert make().log_in(code) == WrongCode()


def test_what_is_pending_is_not_on(make: Callable[..., User]) -> None:
    ann = make(confirmed=False)
    assert ann.do(two_factor.status, ann.id) == Status("pending", 0)
    assert isinstance(ann.log_in(None), LogIn)
    for use_case in (two_factor.disable, two_factor.renew_recovery_codes):
        refusal = ann.refusal(use_case, VAULT, ann.id, NO_PASSWORD, app_code(ann.secret))
        assert refusal.code == "second_factor_off"


def test_what_was_begun_must_be_confirmed_soon_and_by_its_own_app(make: Callable[..., User]) -> None:
    ann = make(confirmed=False)
    assert ann.do(two_factor.confirm, VAULT, ann.id, WRONG) == WrongCode()
    before, ann.secret = ann.secret, ann.do(two_factor.begin, VAULT, ann.id, NO_PASSWORD).secret
    assert ann.do(two_factor.confirm, VAULT, ann.id, app_code(before)) == WrongCode()
    ann.change(created_at=func.now() - timedelta(seconds=PENDING_S))
    assert ann.do(two_factor.status, ann.id) == Status("off", 0)
    assert ann.refused(two_factor.confirm, VAULT, ann.id, app_code(ann.secret)) == "second_factor_off"
    ann.change(created_at=func.now() - timedelta(seconds=PENDING_S - 60))
    assert isinstance(ann.do(two_factor.confirm, VAULT, ann.id, app_code(ann.secret)), RecoveryCodes)
    assert ann.do(two_factor.status, ann.id) == Status("on", RECOVERY_CODES)


def test_what_is_on_stays_as_it_is(make: Callable[..., User]) -> None:
    ann = make()
    assert ann.refused(two_factor.begin, VAULT, ann.id, NO_PASSWORD) == "second_factor_on"
    assert ann.refused(two_factor.confirm, VAULT, ann.id, app_code(ann.secret)) == "second_factor_on"
    assert isinstance(ann.log_in(app_code(ann.secret)), LogIn)


@pytest.mark.usefixtures("patient")
def test_confirming_guesses_are_counted(make: Callable[..., User]) -> None:
    ann = make(confirmed=False)
    for _ in range(attempts.FREE):
        assert ann.do(two_factor.confirm, VAULT, ann.id, WRONG) == WrongCode()
    assert ann.refused(two_factor.confirm, VAULT, ann.id, app_code(ann.secret)) == "too_many_attempts"


def test_a_log_in_takes_a_code_of_the_app_once(make: Callable[..., User]) -> None:
    ann = make()
    assert ann.refused(sessions.log_in, VAULT, ann.id, NO_PASSWORD, None, RefreshToken.new(), LIFETIME) == (
        "second_factor_required"
    )
    code = app_code(ann.secret)
    assert isinstance(ann.log_in(f" {code[:3]} {code[3:]} "), LogIn)
    assert ann.log_in(code) == WrongCode()
    assert isinstance(ann.log_in(app_code(ann.secret, ahead=1)), LogIn)


def test_the_code_that_confirmed_is_used_up(sync_database: SyncDatabase, make: Callable[..., User]) -> None:
    ann = make(confirmed=False)
    code = app_code(ann.secret)
    ann.do(two_factor.confirm, VAULT, ann.id, code)
    assert ann.log_in(code) == WrongCode()


def test_a_recovery_code_counts_once_however_it_is_spelled(make: Callable[..., User]) -> None:
    ann = make()
    assert len(set(ann.recovery_codes)) == RECOVERY_CODES
    for code in (ann.recovery_codes[0], ann.recovery_codes[1].replace("-", "").upper()):
        assert isinstance(ann.log_in(code), LogIn)
        assert ann.log_in(code) == WrongCode()
    assert ann.do(two_factor.status, ann.id) == Status("on", RECOVERY_CODES - 2)


def test_new_recovery_codes_void_those_before(make: Callable[..., User]) -> None:
    ann = make()
    assert ann.do(two_factor.renew_recovery_codes, VAULT, ann.id, NO_PASSWORD, WRONG) == WrongCode()
    new = ann.do(two_factor.renew_recovery_codes, VAULT, ann.id, NO_PASSWORD, ann.recovery_codes[0])
    assert isinstance(new, RecoveryCodes)
    assert not set(new.recovery_codes) & set(ann.recovery_codes)
    assert ann.log_in(ann.recovery_codes[1]) == WrongCode()
    assert isinstance(ann.log_in(new.recovery_codes[1]), LogIn)


@pytest.mark.parametrize("by", ["app", "recovery code"])
def test_switching_off_takes_a_code_and_leaves_nothing(make: Callable[..., User], by: str) -> None:
    ann = make()
    assert ann.do(two_factor.disable, VAULT, ann.id, NO_PASSWORD, WRONG) == WrongCode()
    code = app_code(ann.secret) if by == "app" else ann.recovery_codes[0]
    assert ann.do(two_factor.disable, VAULT, ann.id, NO_PASSWORD, code) is None
    assert ann.do(two_factor.status, ann.id) == Status("off", 0)
    assert isinstance(ann.log_in(None), LogIn)
    for table in ("second_factors", "recovery_codes"):
        left = ann.do(Session.scalar, text(f"SELECT count(*) FROM {table} WHERE user_id = '{ann.id}'"))
        assert left == 0


def test_the_codes_of_one_user_open_nothing_for_another(make: Callable[..., User]) -> None:
    ann, ben = make(), make()
    assert ben.log_in(app_code(ann.secret)) == WrongCode()
    assert ben.log_in(ann.recovery_codes[0]) == WrongCode()
    assert isinstance(ann.log_in(ann.recovery_codes[0]), LogIn)


def test_a_password_that_was_changed_meanwhile_changes_no_factor(make: Callable[..., User]) -> None:
    ann, ben = make(), make(confirmed=False)
    assert ben.refused(two_factor.begin, VAULT, ben.id, "old hash") == "invalid_credentials"
    for use_case in (two_factor.disable, two_factor.renew_recovery_codes):
        refusal = ann.refusal(use_case, VAULT, ann.id, "old hash", ann.recovery_codes[0])
        assert refusal.code == "invalid_credentials"
    assert ann.do(two_factor.status, ann.id) == Status("on", RECOVERY_CODES)


def test_a_new_password_does_not_switch_the_factor_off(make: Callable[..., User]) -> None:
    ann = make()
    ann.do(accounts.change_password, ann.id, NO_PASSWORD, "another", new_id())
    refusal = ann.refusal(sessions.log_in, VAULT, ann.id, "another", None, RefreshToken.new(), LIFETIME)
    assert refusal.code == "second_factor_required"


def test_guessing_codes_takes_longer_and_longer_but_never_for_good(make: Callable[..., User]) -> None:
    ann = make()
    delays: list[int] = []
    for _ in range(attempts.FREE + 14):
        ann.change(blocked_until=func.now())
        assert ann.log_in(WRONG) == WrongCode()
        row = ann.row()
        delays.append(max(0, ceil((row.blocked_until - row.now).total_seconds())))
    assert delays[: attempts.FREE + 4] == [0] * (attempts.FREE - 1) + [1, 2, 4, 8, 16]
    assert delays[-1] == two_factor.LONGEST_DELAY_MS // 1000 == 900

    code = app_code(ann.secret)
    refusal = ann.refusal(sessions.log_in, VAULT, ann.id, NO_PASSWORD, code, RefreshToken.new(), LIFETIME)
    assert refusal.code == "too_many_attempts"
    assert 890 < int(str(refusal.fields["retry_after_s"])) <= 900
    recovery = ann.refusal(two_factor.disable, VAULT, ann.id, NO_PASSWORD, ann.recovery_codes[0])
    assert recovery.code == "too_many_attempts"
    ann.change(blocked_until=func.now())
    assert isinstance(ann.log_in(code), LogIn)
    row = ann.row()
    assert (row.failures, row.blocked_until) == (0, None)


def test_without_the_password_nobody_slows_the_owner_down(make: Callable[..., User]) -> None:
    ann = make()
    for _ in range(attempts.FREE + 1):
        refusal = ann.refusal(
            sessions.log_in, VAULT, ann.id, "wrong hash", WRONG, RefreshToken.new(), LIFETIME
        )
        assert refusal.code == "invalid_credentials"
    assert ann.row().failures == 0


@pytest.mark.usefixtures("patient")
def test_many_guesses_at_once_gain_nothing(make: Callable[..., User]) -> None:
    ann = make()
    results = at_once([lambda: ann.log_in(WRONG)] * 12)
    assert results.count(WrongCode()) == attempts.FREE
    assert results.count("too_many_attempts") == 12 - attempts.FREE


@pytest.mark.parametrize("kind", ["app", "recovery"])
def test_of_many_log_ins_by_one_code_at_once_one_succeeds(make: Callable[..., User], kind: str) -> None:
    ann = make()
    code = app_code(ann.secret) if kind == "app" else ann.recovery_codes[0]
    results = at_once([lambda: ann.log_in(code)] * 5)
    assert results.count(WrongCode()) == 4
    assert ann.open_sessions() == 1


def test_no_log_in_without_a_code_survives_the_switching_on(make: Callable[..., User]) -> None:
    for _ in range(5):
        ann = make(confirmed=False)

        def switch_on(ann: User = ann) -> object:
            with ann.database.transaction() as session:
                codes = two_factor.confirm(session, VAULT, ann.id, app_code(ann.secret))
                assert isinstance(codes, RecoveryCodes)
                return sessions.revoke_all(session, ann.id)

        at_once([switch_on, *[lambda ann=ann: ann.log_in(None)] * 7])
        assert ann.open_sessions() == 0


def test_old_keys_can_be_dropped_once_their_secrets_were_used(make: Callable[..., User]) -> None:
    ann = make()
    assert ann.row().kid == "test"
    new = os.urandom(32)
    ann.vault = Vault({"new": new})
    assert isinstance(ann.log_in(ann.recovery_codes[0]), LogIn), "a recovery code needs no key"
    ann.vault = Vault({"new": new})
    ann.vault._ciphers |= VAULT._ciphers
    assert isinstance(ann.log_in(app_code(ann.secret)), LogIn)
    assert ann.row().kid == "new"
    ann.vault = Vault({"new": new})
    assert isinstance(ann.log_in(app_code(ann.secret, ahead=1)), LogIn)


def test_the_owner_is_told_of_every_change_of_the_second_factor(make: Callable[..., User]) -> None:
    ann = make()
    wrong = ann.do(two_factor.renew_recovery_codes, ann.vault, ann.id, NO_PASSWORD, "abcdefghijklmnop")
    assert isinstance(wrong, WrongCode)
    renewed = ann.do(two_factor.renew_recovery_codes, ann.vault, ann.id, NO_PASSWORD, ann.recovery_codes[0])
    assert isinstance(renewed, RecoveryCodes)
    ann.do(two_factor.disable, ann.vault, ann.id, NO_PASSWORD, renewed.recovery_codes[0])
    with ann.database.transaction() as session:
        rows = session.execute(
            select(Notification.event, Notification.data)
            .where(Notification.user_id == ann.id)
            .order_by(Notification.id)
        ).all()
    assert rows == [("second_factor_changed", {"on": on}) for on in (True, True, False)]
