"""The second factor over HTTP: setting it up, logging in with it, and what guessers and thieves get."""

import asyncio
import base64
import logging
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from argon2 import PasswordHasher
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from handlers.http.cookies import HEADER
from market.accounts import sessions
from market.accounts.two_factor import STEP_S
from store.database import SyncDatabase
from store.models import Base, SecondFactor, User
from store.redis import attempts, revocations
from store.redis.clients import Hot
from tests.support.client import Answer, Client, People

PASSWORD = "correct horse"
HASH = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash(PASSWORD)
LOCAL = "address:127.0.0.1"
FACTOR = "/me/second-factor"
WRONG = "000000000"


@dataclass
class Owner:
    """A logged-in user with a password and, after `switch_on`, a second factor."""

    client: Client
    guest: Client
    database: SyncDatabase
    email: str
    secret: str = ""
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, ahead: int = 0) -> str:
        """What the app shows now, or so many steps later."""
        return pyotp.HOTP(self.secret).at(int(time.time()) // STEP_S + ahead)

    async def begin(self) -> None:
        """Let the app have the secret."""
        self.secret = (await self.client.post(FACTOR, {"password": PASSWORD}))["secret"]

    async def switch_on(self) -> None:
        """Set the second factor up. The code of this moment is good again."""
        await self.begin()
        answer = await self.client.post(f"{FACTOR}/confirm", {"code": self.code()})
        self.recovery_codes = answer["recovery_codes"]
        self.change(last_step=0)

    async def attempt(self, code: str | None = None, password: str = PASSWORD, **more: str) -> Answer:
        """Try to log in."""
        body = {"email": self.email, "password": password, **more} | ({"code": code} if code else {})
        return await self.guest.call("POST", "/auth/login", body, headers={HEADER: "1"})

    async def state(self) -> str:
        """The state of the second factor."""
        return str((await self.client.get(FACTOR))["state"])

    def proof(self, code: str, password: str = PASSWORD) -> dict[str, str]:
        """The body of what takes both factors."""
        return {"password": password, "code": code}

    def change(self, **columns: Any) -> None:
        """Change the row of the factor: let time pass for it."""
        which = SecondFactor.user_id == self.client.user_id
        with self.database.transaction() as session:
            session.execute(update(SecondFactor).where(which).values(**columns))


@pytest.fixture
def ann(person: People, guest: Client, sync_database: SyncDatabase) -> Owner:
    client = person()
    with sync_database.transaction() as session:
        mine = User.id == client.user_id
        session.execute(update(User).where(mine).values(password_hash=HASH))
        email = session.scalars(select(User.email).where(mine)).one()
    return Owner(client, guest, sync_database, email)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first delay lasts longer than any test."""
    monkeypatch.setattr(attempts, "FIRST_DELAY_MS", 60_000)


async def test_setting_up_shows_the_secret_once_and_is_on_after_the_first_code(ann: Owner) -> None:
    assert await ann.client.get(FACTOR) == {"state": "off", "recovery_codes_left": 0}
    answer = await ann.client.call("POST", FACTOR, {"password": PASSWORD})
    assert (answer.status, set(answer.body)) == (201, {"secret", "uri"})
    ann.secret = answer.body["secret"]
    uri = urlsplit(answer.body["uri"])
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", f"/NeighborBid:{ann.email}")
    assert parse_qs(uri.query) == {"secret": [ann.secret], "issuer": ["NeighborBid"]}
    assert await ann.state() == "pending"
    assert (await ann.attempt()).status == 201

    codes = (await ann.client.post(f"{FACTOR}/confirm", {"code": ann.code()}))["recovery_codes"]
    assert len(set(codes)) == 10
    assert await ann.client.get(FACTOR) == {"state": "on", "recovery_codes_left": 10}
    assert (await ann.attempt()).body["code"] == "second_factor_required"


async def test_setting_up_wants_the_password(ann: Owner) -> None:
    assert await ann.client.refused("POST", FACTOR, {"password": "wrong password"}) == "invalid_credentials"
    assert await ann.state() == "off"


async def test_a_wrong_state_is_refused(ann: Owner) -> None:
    code = "123456"
    assert await ann.client.refused("POST", f"{FACTOR}/confirm", {"code": code}) == "second_factor_off"
    for path in ("disable", "recovery-codes"):
        assert await ann.client.refused("POST", f"{FACTOR}/{path}", ann.proof(code)) == "second_factor_off"
    await ann.switch_on()
    assert await ann.client.refused("POST", FACTOR, {"password": PASSWORD}) == "second_factor_on"
    assert await ann.client.refused("POST", f"{FACTOR}/confirm", {"code": code}) == "second_factor_on"


async def test_switching_on_ends_all_other_sessions(ann: Owner, hot: Hot) -> None:
    other = (await ann.attempt()).body
    await ann.begin()
    assert await ann.client.refused("POST", f"{FACTOR}/confirm", {"code": WRONG}) == "invalid_code"
    listed = (await ann.client.get("/me/sessions"))["items"]
    assert len(listed) == 2, "a wrong code ends nothing"

    await ann.client.post(f"{FACTOR}/confirm", {"code": ann.code()})
    (left,) = (await ann.client.get("/me/sessions"))["items"]
    assert left["current"]
    ann.guest.token = other["access_token"]
    assert await ann.guest.refused("GET", "/me") == "unauthenticated"
    gone = [item["id"] for item in listed if not item["current"]]
    assert [str(each) for each in await hot.run(revocations.revoked(gone))] == gone


async def test_only_the_right_password_is_asked_for_the_code(ann: Owner) -> None:
    await ann.switch_on()
    for code in (WRONG, ann.code()):
        assert (await ann.attempt(code, "wrong password")).body["code"] == "invalid_credentials"
    assert (await ann.attempt()).body["code"] == "second_factor_required"
    assert (await ann.attempt(WRONG)).body["code"] == "invalid_code"
    answer = await ann.attempt(ann.code(), transport="cookie")
    assert (answer.status, "Set-Cookie" in answer.headers) == (201, True)


async def test_a_refusal_for_the_code_hands_nothing_out(ann: Owner) -> None:
    await ann.switch_on()
    for code in (None, WRONG):
        answer = await ann.attempt(code, transport="cookie")
        assert answer.status == 401
        assert "Set-Cookie" not in answer.headers
        assert "token" not in str(answer.body)
    assert len((await ann.client.get("/me/sessions"))["items"]) == 1


async def test_a_code_is_accepted_once_even_by_many_log_ins_at_once(ann: Owner, hot: Hot) -> None:
    await ann.switch_on()
    for code in (ann.code(), ann.recovery_codes[0]):
        answers = await asyncio.gather(*(ann.attempt(code) for _ in range(4)))
        assert sorted(answer.status for answer in answers) == [201, 401, 401, 401]
        assert (await ann.attempt(code)).body["code"] == "invalid_code"
        ann.change(failures=0, blocked_until=None)
        await hot.run(attempts.forget(str(ann.client.user_id), LOCAL))
    assert (await ann.client.get(FACTOR))["recovery_codes_left"] == 9


async def test_a_code_without_a_second_factor_does_not_matter(ann: Owner) -> None:
    assert (await ann.attempt(WRONG)).status == 201


async def test_new_recovery_codes_and_switching_off_take_password_and_code(ann: Owner) -> None:
    await ann.switch_on()
    codes, off = f"{FACTOR}/recovery-codes", f"{FACTOR}/disable"
    for path in (codes, off):
        stolen_token = ann.proof(ann.code(), "wrong password")
        assert await ann.client.refused("POST", path, stolen_token) == "invalid_credentials"
        assert await ann.client.refused("POST", path, ann.proof(WRONG)) == "invalid_code"
    new = (await ann.client.post(codes, ann.proof(ann.code())))["recovery_codes"]
    assert await ann.client.refused("POST", off, ann.proof(ann.recovery_codes[0])) == "invalid_code"
    assert await ann.state() == "on"
    await ann.client.done("POST", off, ann.proof(new[0]))
    assert await ann.state() == "off"
    assert (await ann.attempt()).status == 201


async def test_the_code_of_another_user_is_wrong(ann: Owner, person: People) -> None:
    await ann.switch_on()
    ben = person()
    assert await ben.get(FACTOR) == {"state": "off", "recovery_codes_left": 0}
    assert await ben.refused("POST", f"{FACTOR}/confirm", {"code": ann.code()}) == "second_factor_off"
    with ann.database.transaction() as session:
        session.execute(update(User).where(User.id == ben.user_id).values(password_hash=HASH))
    await ben.post(FACTOR, {"password": PASSWORD})
    assert await ben.refused("POST", f"{FACTOR}/confirm", {"code": ann.code()}) == "invalid_code"


async def test_wrong_codes_delay_the_account_wherever_they_come_from(ann: Owner, hot: Hot) -> None:
    await ann.switch_on()
    for _ in range(attempts.FREE):
        assert (await ann.attempt(WRONG)).body["code"] == "invalid_code"
    # As if the next one came from another address, which has made no attempt.
    await hot.run(attempts.forget(str(ann.client.user_id), LOCAL))
    ann.change(blocked_until=func.now() + text("interval '100 s'"))
    refused = await ann.attempt(ann.code())
    assert (refused.status, refused.body["code"]) == (429, "too_many_attempts")
    assert 90 <= refused.body["retry_after_s"] <= 100
    answer = await ann.client.call("POST", f"{FACTOR}/disable", ann.proof(ann.code()))
    assert (answer.status, answer.body["code"]) == (429, "too_many_attempts")
    ann.change(blocked_until=func.now())
    assert (await ann.attempt(ann.code())).status == 201


@pytest.mark.usefixtures("patient")
async def test_wrong_codes_count_as_wrong_passwords_do(ann: Owner) -> None:
    await ann.switch_on()
    for _ in range(attempts.FREE):
        assert (await ann.attempt(WRONG)).status == 401
    ann.change(failures=0, blocked_until=None)
    assert (await ann.attempt(ann.code())).body["code"] == "too_many_attempts"


async def test_a_right_code_ends_the_counting(ann: Owner) -> None:
    await ann.switch_on()
    for code in ann.recovery_codes[:3]:
        for _ in range(attempts.FREE - 1):
            assert (await ann.attempt(WRONG)).status == 401
        assert (await ann.attempt(code)).status == 201


@pytest.mark.usefixtures("patient")
async def test_without_redis_guessing_codes_is_delayed_just_the_same(ann: Owner, redis_away: Any) -> None:
    await ann.switch_on()
    redis_away()
    answers = [await ann.attempt(WRONG) for _ in range(attempts.FREE + 1)]
    assert [answer.status for answer in answers] == [401] * attempts.FREE + [429]


async def test_a_log_in_that_makes_room_tells_the_sockets_of_the_session_it_ends(
    ann: Owner, hot: Hot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_OPEN", 1)
    (first,) = (await ann.client.get("/me/sessions"))["items"]
    assert (await ann.attempt()).status == 201
    assert await ann.client.refused("GET", "/me") == "unauthenticated"
    assert len(await hot.run(revocations.revoked([first["id"]]))) == 1


async def test_no_secret_stands_in_a_table_in_redis_or_in_a_log(
    ann: Owner, hot: Hot, caplog: pytest.LogCaptureFixture
) -> None:
    used: list[str] = []
    with caplog.at_level(logging.DEBUG), capture_logs() as events:
        await ann.switch_on()
        used += [ann.code(), WRONG, ann.recovery_codes[0]]
        for code in used:
            await ann.attempt(code)
        await ann.client.refused("POST", f"{FACTOR}/disable", ann.proof(WRONG))

    raw = base64.b32decode(ann.secret)
    secrets = [ann.secret, ann.secret.encode().hex(), raw.hex(), PASSWORD]
    for code in ann.recovery_codes:
        plain = code.replace("-", "")
        secrets += [code, plain, plain.encode().hex(), base64.b32decode(plain.upper()).hex()]
    with ann.database.transaction() as session:
        tables = [text(f'SELECT t::text FROM "{name}" t') for name in Base.metadata.tables]
        rows = [row for table in tables for row in session.scalars(table)]
    assert any(str(ann.client.user_id) in row for row in rows)
    keys = [str(key) async for key in hot.client.scan_iter(count=1000)]
    for where, texts in {"tables": rows, "redis": keys, "logs": [caplog.text, str(events)]}.items():
        found = [secret for secret in secrets for each in texts if secret.lower() in each.lower()]
        assert found == [], where
    assert not [code for code in used if code in caplog.text + str(events)]
