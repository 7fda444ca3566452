"""Refresh tokens, cookies, and the ends of sessions."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import create_engine, func, select, text
from tornado.httpclient import AsyncHTTPClient

from handlers.cookies import HEADER
from store import attempts, revocations
from store.database import SyncDatabase, psycopg_url
from store.hot import Hot
from store.models import Session, User
from tests.handlers.client import Answer, Client
from tests.handlers.conftest import People

PASSWORD = "correct horse"
OWN = {HEADER: "1"}


@dataclass
class Account:
    """A registered user."""

    guest: Client
    email: str

    async def attempt(self, password: str = PASSWORD, transport: str = "body", **headers: str) -> Answer:
        """Try to log in."""
        body = {"email": self.email, "password": password, "transport": transport}
        return await self.guest.call("POST", "/auth/login", body, headers=OWN | headers)

    async def log_in(self) -> Any:
        """The tokens of a new session."""
        answer = await self.attempt()
        assert answer.status == 201, answer.body
        return answer.body

    async def log_in_by_cookie(self) -> str:
        """The Cookie header of a new session."""
        answer = await self.attempt(transport="cookie")
        assert answer.body["refresh_token"] is None
        return answer.headers["Set-Cookie"].partition(";")[0]


@pytest.fixture
async def account(guest: Client) -> Account:
    email = f"{uuid4().hex}@example.org"
    await guest.post("/auth/register", {"email": email, "password": PASSWORD, "display_name": "Ann"})
    return Account(guest, email)


async def refresh(guest: Client, token: str) -> Answer:
    return await guest.call("POST", "/auth/refresh", {"refresh_token": token})


async def refresh_by_cookie(guest: Client, cookie: str, **headers: str) -> Answer:
    return await guest.call("POST", "/auth/refresh", {}, headers={"Cookie": cookie} | headers)


def session_of(token: str) -> UUID:
    return UUID(jwt.decode(token, options={"verify_signature": False})["sid"])


def age(database: SyncDatabase, session_id: UUID, by: str) -> None:
    """Let time pass for a session."""
    columns = ("refreshed_at", "expires_at", "ends_at")
    changes = ", ".join(f"{column} = {column} - CAST(:by AS interval)" for column in columns)
    with database.transaction() as session:
        session.execute(text(f"UPDATE sessions SET {changes} WHERE id = :id"), {"id": session_id, "by": by})


@pytest.fixture
def owner_ages_tokens(database_url: str) -> Callable[[UUID], None]:
    """Makes the last refresh of a session 11 s old. The application itself may not change a spent token."""

    def make_old(session_id: UUID) -> None:
        engine = create_engine(psycopg_url(database_url))
        with engine.begin() as connection:
            for table, column, key in (
                ("sessions", "refreshed_at", "id"),
                ("spent_tokens", "spent_at", "session_id"),
            ):
                statement = f"UPDATE {table} SET {column} = {column} - interval '11 s' WHERE {key} = :id"
                connection.execute(text(statement), {"id": session_id})
        engine.dispose()

    return make_old


async def test_a_refresh_exchanges_both_tokens(guest: Client, account: Account) -> None:
    first = await account.log_in()
    second = (await refresh(guest, first["refresh_token"])).body
    assert second["refresh_token"] != first["refresh_token"]
    assert session_of(second["access_token"]) == session_of(first["access_token"])
    guest.token = second["access_token"]
    await guest.get("/me")
    assert (await refresh(guest, second["refresh_token"])).status == 201


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 128])
async def test_an_unknown_refresh_token_is_refused(guest: Client, token: str) -> None:
    assert (await refresh(guest, token)).body["code"] == "invalid_refresh_token"


async def test_reusing_a_refresh_token_ends_the_session_for_thief_and_owner(
    guest: Client, account: Account, hot: Hot
) -> None:
    stolen = await account.log_in()
    second = (await refresh(guest, stolen["refresh_token"])).body
    third = (await refresh(guest, second["refresh_token"])).body
    other = await account.log_in()

    assert (await refresh(guest, stolen["refresh_token"])).body["code"] == "invalid_refresh_token"

    assert (await refresh(guest, third["refresh_token"])).body["code"] == "invalid_refresh_token"
    guest.token = third["access_token"]
    assert await guest.refused("GET", "/me") == "unauthenticated"
    session_id = session_of(third["access_token"])
    assert await revocations.revoked(hot, [session_id]) == [session_id]
    guest.token = other["access_token"]
    await guest.get("/me")


async def test_parallel_refreshes_give_one_new_token_and_revoke_nothing(
    guest: Client, account: Account
) -> None:
    token = (await account.log_in())["refresh_token"]
    answers = await asyncio.gather(*(refresh(guest, token) for _ in range(5)))
    won = next(answer for answer in answers if answer.status == 201)
    assert [answer.body["code"] for answer in answers if answer is not won] == ["refresh_conflict"] * 4
    assert (await refresh(guest, won.body["refresh_token"])).status == 201


async def test_the_previous_refresh_token_is_a_theft_after_ten_seconds(
    guest: Client, account: Account, owner_ages_tokens: Callable[[UUID], None]
) -> None:
    first = await account.log_in()
    second = (await refresh(guest, first["refresh_token"])).body
    assert (await refresh(guest, first["refresh_token"])).body["code"] == "refresh_conflict"
    owner_ages_tokens(session_of(first["access_token"]))
    assert (await refresh(guest, first["refresh_token"])).body["code"] == "invalid_refresh_token"
    assert (await refresh(guest, second["refresh_token"])).body["code"] == "invalid_refresh_token"


async def test_a_session_that_is_used_lives_on_but_never_past_its_end(
    guest: Client, account: Account, sync_database: SyncDatabase
) -> None:
    tokens = await account.log_in()
    session_id = session_of(tokens["access_token"])

    def left() -> tuple[int, int]:
        with sync_database.transaction() as session:
            now = session.scalars(select(func.now())).one()
            row = session.execute(
                select(Session.expires_at, Session.ends_at).where(Session.id == session_id)
            ).one()
            idle, total = row.expires_at - now, row.ends_at - now
            return round(idle.total_seconds() / 60), round(total.total_seconds() / 60)

    assert left() == (60, 120)
    age(sync_database, session_id, "40 minutes")
    tokens = (await refresh(guest, tokens["refresh_token"])).body
    assert left() == (60, 80)
    age(sync_database, session_id, "50 minutes")
    tokens = (await refresh(guest, tokens["refresh_token"])).body
    assert left() == (30, 30)
    age(sync_database, session_id, "30 minutes")
    assert (await refresh(guest, tokens["refresh_token"])).body["code"] == "invalid_refresh_token"
    guest.token = tokens["access_token"]
    assert await guest.refused("GET", "/me") == "unauthenticated"


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(
    account: Account, change_services: Callable[..., None]
) -> None:
    for development, prefix in ((True, ""), (False, "__Secure-")):
        change_services(development=development)
        (cookie,) = SimpleCookie((await account.attempt(transport="cookie")).headers["Set-Cookie"]).values()
        assert cookie.key == f"{prefix}refresh_token"
        assert (cookie["path"], cookie["samesite"]) == ("/api/v1/auth", "Strict")
        assert cookie["httponly"]
        assert bool(cookie["secure"]) is not development
        assert cookie["domain"] == ""


async def test_a_cookie_refreshes_and_its_token_is_never_in_a_body(guest: Client, account: Account) -> None:
    cookie = await account.log_in_by_cookie()
    answer = await refresh_by_cookie(guest, cookie, **OWN)
    assert answer.status == 201
    assert answer.body["refresh_token"] is None
    following = answer.headers["Set-Cookie"].partition(";")[0]
    assert following != cookie
    assert (await refresh_by_cookie(guest, following, **OWN)).status == 201


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://friend.example"},
        OWN | {"Origin": "https://foreign.example"},
        OWN | {"Origin": "https://friend.example.evil.example"},
        OWN | {"Origin": "http://friend.example"},
        OWN | {"Origin": "null"},
    ],
)
async def test_csrf_another_site_cannot_use_the_cookie_or_set_it(
    guest: Client, account: Account, headers: dict[str, str]
) -> None:
    cookie = await account.log_in_by_cookie()
    assert (await refresh_by_cookie(guest, cookie, **headers)).body["code"] == "foreign_page"
    credentials = {"email": account.email, "password": PASSWORD, "transport": "cookie"}
    answer = await guest.call("POST", "/auth/login", credentials, headers=headers)
    assert answer.body["code"] == "foreign_page"
    assert "Set-Cookie" not in answer.headers
    assert (await refresh_by_cookie(guest, cookie, **OWN)).status == 201


async def test_the_own_page_and_allowed_ones_may_use_the_cookie(
    guest: Client, account: Account, http_server_client: AsyncHTTPClient, http_server_port: tuple[Any, int]
) -> None:
    for origin in ("https://friend.example", f"http://127.0.0.1:{http_server_port[1]}"):
        cookie = await account.log_in_by_cookie()
        headers = OWN | {"Origin": origin, "Host": f"127.0.0.1:{http_server_port[1]}"}
        assert (await refresh_by_cookie(guest, cookie, **headers)).status == 201


async def test_session_fixation_a_log_in_never_adopts_a_session_that_was_there(
    guest: Client, account: Account
) -> None:
    planted = await account.log_in_by_cookie()
    answer = await account.attempt(transport="cookie", Cookie=planted)
    assert answer.status == 201
    assert answer.headers["Set-Cookie"].partition(";")[0] != planted
    fixed = session_of((await refresh_by_cookie(guest, planted, **OWN)).body["access_token"])
    assert session_of(answer.body["access_token"]) != fixed


async def test_logging_out_ends_the_refresh_token_and_the_cookie(guest: Client, account: Account) -> None:
    cookie = await account.log_in_by_cookie()
    guest.token = (await refresh_by_cookie(guest, cookie, **OWN)).body["access_token"]
    answer = await guest.call("POST", "/auth/logout", headers={"Cookie": cookie})
    assert answer.headers["Set-Cookie"].startswith('refresh_token="";')
    assert (await refresh_by_cookie(guest, cookie, **OWN)).body["code"] == "invalid_refresh_token"


async def test_logging_out_everywhere_ends_all_sessions_of_the_user_only(
    guest: Client, account: Account, person: People, hot: Hot
) -> None:
    somebody = person()
    tokens = [await account.log_in() for _ in range(3)]
    guest.token = tokens[0]["access_token"]
    await guest.done("POST", "/auth/logout-all")
    for each in tokens:
        guest.token = each["access_token"]
        assert await guest.refused("GET", "/me") == "unauthenticated"
        assert (await refresh(guest, each["refresh_token"])).body["code"] == "invalid_refresh_token"
    ids = [session_of(each["access_token"]) for each in tokens]
    assert await revocations.revoked(hot, ids) == ids
    await somebody.get("/me")


async def test_sessions_are_listed_and_ended_one_by_one(
    guest: Client, account: Account, person: People
) -> None:
    gone, current = await account.log_in(), await account.log_in()
    guest.token = current["access_token"]
    listed = (await guest.get("/me/sessions"))["items"]
    ids = [session_of(tokens["access_token"]) for tokens in (current, gone)]
    assert [(item["id"], item["current"]) for item in listed] == [(str(ids[0]), True), (str(ids[1]), False)]
    assert set(listed[0]) == {"id", "created_at", "refreshed_at", "expires_at", "current"}

    assert await person().refused("DELETE", f"/me/sessions/{ids[1]}") == "not_found"
    await guest.done("DELETE", f"/me/sessions/{ids[1]}")
    assert await guest.refused("DELETE", f"/me/sessions/{ids[1]}") == "not_found"
    assert [item["id"] for item in (await guest.get("/me/sessions"))["items"]] == [str(ids[0])]
    assert (await refresh(guest, gone["refresh_token"])).body["code"] == "invalid_refresh_token"


async def test_a_new_password_wants_the_old_one_and_ends_all_other_sessions(
    guest: Client, account: Account
) -> None:
    other, current = await account.log_in(), await account.log_in()
    guest.token = current["access_token"]
    body = {"old_password": "wrong password", "new_password": "battery staple"}
    assert await guest.refused("POST", "/me/password", body) == "invalid_credentials"
    await guest.done("POST", "/me/password", body | {"old_password": PASSWORD})

    await guest.get("/me")
    guest.token = other["access_token"]
    assert await guest.refused("GET", "/me") == "unauthenticated"
    guest.token = None
    assert (await account.attempt()).body["code"] == "invalid_credentials"
    assert (await account.attempt("battery staple")).status == 201


async def test_nobody_becomes_an_admin_by_asking_for_it(guest: Client) -> None:
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "display_name": "A", "role": "admin"}
    assert await guest.refused("POST", "/auth/register", body) == "invalid_body"


async def test_guessing_passwords_takes_longer_and_longer(guest: Client, account: Account, hot: Hot) -> None:
    answers = await asyncio.gather(*(account.attempt("wrong password") for _ in range(10)))
    assert [answer.status for answer in answers].count(401) == attempts.FREE
    refused = await account.attempt()
    assert (refused.status, refused.body["code"]) == (429, "too_many_attempts")
    assert refused.body["retry_after_s"] == 1

    assert await attempts.begin(hot, account.email.upper(), "192.0.2.1") == 0, (
        "another address is not locked out"
    )


async def test_each_failure_doubles_the_delay_up_to_the_longest(hot: Hot) -> None:
    name, key = uuid4().hex, "192.0.2.1"
    delays: list[int] = []
    for _ in range(attempts.FREE + 14):
        assert await attempts.begin(hot, name, key) == 0
        delays.append(await attempts.begin(hot, name, key) if len(delays) >= attempts.FREE - 1 else 0)
        await hot.client.hset(attempts._key(name, key), "until", "0")
    seconds = [round(delay / 1000) for delay in delays[attempts.FREE - 1 :]]
    assert seconds[:5] == [1, 2, 4, 8, 16]
    assert seconds[-1] == attempts.LONGEST_DELAY_MS / 1000


async def test_a_right_password_ends_the_counting(account: Account) -> None:
    for _ in range(3):
        for _ in range(attempts.FREE - 1):
            assert (await account.attempt("wrong password")).status == 401
        assert (await account.attempt()).status == 201


async def test_an_unknown_account_is_slowed_down_just_the_same(guest: Client) -> None:
    nobody = Account(guest, f"{uuid4().hex}@example.org")
    answers = await asyncio.gather(*(nobody.attempt() for _ in range(10)))
    assert [answer.status for answer in answers].count(429) == 10 - attempts.FREE


async def test_a_log_out_without_redis_counts_and_is_left_to_the_sweep(
    person: People, redis_away: Callable[[], None], sync_database: SyncDatabase
) -> None:
    ann = person()
    redis_away()
    await ann.done("POST", "/auth/logout")
    assert await ann.refused("GET", "/me") == "unauthenticated"
    with sync_database.transaction() as session:
        row = session.execute(
            select(Session.revoked_at, Session.told_at).join(User).where(User.id == ann.user_id)
        ).one()
    assert row.revoked_at is not None
    assert row.told_at is None
