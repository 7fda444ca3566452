"""Refresh tokens, cookies, and the ends of sessions."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from handlers.http import passwords
from store.database import Database, SyncDatabase
from store.models import Session, User
from store.redis import attempts, revocations
from store.redis.clients import Hot
from tests.support.accounts import OWN, PASSWORD, Account, refresh, session_of
from tests.support.client import Answer, Client, People
from tests.support.effects import unclosed


async def refresh_by_cookie(guest: Client, cookie: str, **headers: str) -> Answer:
    return await guest.call("POST", "/auth/refresh", {}, headers={"Cookie": cookie} | headers)


def age(database: SyncDatabase, session_id: UUID, by: str) -> None:
    """Let time pass for a session."""
    columns = ("refreshed_at", "expires_at", "ends_at")
    changes = ", ".join(f"{column} = {column} - CAST(:by AS interval)" for column in columns)
    with database.transaction() as session:
        session.execute(text(f"UPDATE sessions SET {changes} WHERE id = :id"), {"id": session_id, "by": by})


async def test_a_refresh_exchanges_both_tokens(guest: Client, account: Account) -> None:
    first = await account.log_in()
    second = (await refresh(guest, first["refresh_token"])).body
    assert second["refresh_token"] != first["refresh_token"]
    assert session_of(second["access_token"]) == session_of(first["access_token"])
    guest.token = second["access_token"]
    await guest.get("/me")
    assert (await refresh(guest, second["refresh_token"])).status == 201


@pytest.mark.parametrize("token", ["", "x", "x" * 66, f"{'x' * 22}.{'x' * 43}", "x" * 128])
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
    assert await hot.run(revocations.revoked([session_id])) == [session_id]
    guest.token = other["access_token"]
    await guest.get("/me")


async def test_parallel_refreshes_all_get_the_same_next_token(guest: Client, account: Account) -> None:
    token = (await account.log_in())["refresh_token"]
    answers = await asyncio.gather(*(refresh(guest, token) for _ in range(5)))
    (following,) = {answer.body["refresh_token"] for answer in answers}
    assert (await refresh(guest, following)).status == 201


async def test_a_lost_answer_is_given_again_and_later_the_same_token_is_a_theft(
    guest: Client, account: Account, sync_database: SyncDatabase
) -> None:
    first = await account.log_in()
    second = (await refresh(guest, first["refresh_token"])).body
    again = await refresh(guest, first["refresh_token"])
    assert (again.status, again.body["refresh_token"]) == (201, second["refresh_token"])
    guest.token = again.body["access_token"]
    await guest.get("/me")

    age(sync_database, session_of(first["access_token"]), "31 s")
    assert (await refresh(guest, first["refresh_token"])).body["code"] == "invalid_refresh_token"
    assert (await refresh(guest, second["refresh_token"])).body["code"] == "invalid_refresh_token"


async def test_a_lost_cookie_is_given_again(guest: Client, account: Account) -> None:
    cookie = await account.log_in_by_cookie()
    answers = [await refresh_by_cookie(guest, cookie, **OWN) for _ in range(2)]
    first, second = (answer.headers["Set-Cookie"].partition(";")[0] for answer in answers)
    assert first == second != cookie


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
    for development, prefix in ((True, ""), (False, "__Host-")):
        change_services(development=development)
        (cookie,) = SimpleCookie((await account.attempt(transport="cookie")).headers["Set-Cookie"]).values()
        assert cookie.key == f"{prefix}refresh_token"
        assert (cookie["path"], cookie["samesite"]) == ("/", "Strict")
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
        OWN | {"Origin": "https://FRIEND.example"},
        OWN | {"Origin": "https://friend.example/"},
        OWN | {"Origin": "https://friend.example, https://foreign.example"},
        OWN | {"Origin": "http://["},
        OWN | {"Origin": "http://[::1"},
        OWN | {"Origin": "http://:99999999"},
        OWN | {"Origin": "//127.0.0.1"},
        OWN | {"Origin": ""},
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


async def test_our_own_page_and_allowed_ones_may_use_the_cookie(
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
    assert await hot.run(revocations.revoked(ids)) == ids
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


async def test_guessing_passwords_takes_longer_and_longer(account: Account) -> None:
    answers = await asyncio.gather(*(account.attempt("wrong password") for _ in range(10)))
    assert [answer.status for answer in answers].count(401) == attempts.FREE
    refused = await account.attempt()
    assert (refused.status, refused.body["code"]) == (429, "too_many_attempts")
    assert refused.body["retry_after_s"] == 1


async def test_guessing_from_many_ipv6_addresses_of_one_network_is_no_way_around(
    app: Application, account: Account
) -> None:
    listening, port = bind_unused_port()
    server = HTTPServer(app, xheaders=True)
    server.add_socket(listening)

    async def guess(address: str) -> int:
        response = await AsyncHTTPClient().fetch(
            f"http://127.0.0.1:{port}/api/v1/auth/login",
            method="POST",
            headers={"Content-Type": "application/json", "X-Real-IP": address},
            body=json.dumps({"email": account.email, "password": "wrong password"}),
            raise_error=False,
        )
        return response.code

    answers = await asyncio.gather(*(guess(f"2001:db8::{host:x}") for host in range(1, 11)))
    assert answers.count(401) == attempts.FREE
    assert await guess("2001:db8:0:1::1") == 401, "another network is not locked out"
    server.stop()


async def test_guessing_at_the_change_of_the_password_counts_together_with_the_log_in(
    guest: Client, account: Account
) -> None:
    guest.token = (await account.log_in())["access_token"]
    change = {"old_password": "wrong password", "new_password": "battery staple"}
    for _ in range(attempts.FREE - 1):
        assert await guest.refused("POST", "/me/password", change) == "invalid_credentials"
    assert (await account.attempt("wrong password")).status == 401
    assert (await account.attempt("wrong password")).status == 429


async def test_a_right_password_ends_the_counting(account: Account) -> None:
    for _ in range(3):
        for _ in range(attempts.FREE - 1):
            assert (await account.attempt("wrong password")).status == 401
        assert (await account.attempt()).status == 201


async def test_a_log_in_refused_as_busy_is_no_guess(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(passwords, "MAX_PENDING", 0)
        for _ in range(attempts.FREE + 1):
            assert (await account.attempt()).body["code"] == "busy"
    assert (await account.attempt()).status == 201


async def test_without_redis_people_log_in_all_the_same(
    account: Account, redis_away: Callable[[], None]
) -> None:
    redis_away()
    with capture_logs() as logs:
        assert (await account.attempt("wrong password")).status == 401
        assert (await account.attempt()).status == 201
    # What was not counted need not be forgotten either.
    assert [event["event"] for event in logs] == ["quota_not_counted", "attempt_not_counted"] * 2


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


class LeavingDatabase(Database):
    """PostgreSQL until it has seen so many transactions; from then on it is away."""

    def __init__(self, url: str, hot: Hot, transactions: int) -> None:
        super().__init__(url, hot)
        self._left = transactions

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        self._left -= 1
        if self._left < 0:
            raise OperationalError("SELECT 1", None, Exception("PostgreSQL is away"))
        async with super().transaction() as session:
            yield session


async def test_a_log_out_counts_when_postgresql_goes_away_after_the_commit(
    guest: Client,
    account: Account,
    database_url: str,
    hot: Hot,
    sync_database: SyncDatabase,
    change_services: Callable[..., None],
) -> None:
    cookie = await account.log_in_by_cookie()
    guest.token = (await refresh_by_cookie(guest, cookie, **OWN)).body["access_token"]
    leaving = LeavingDatabase(database_url, hot, 2)  # one to authenticate, one to revoke
    change_services(database=leaving)

    with capture_logs() as logs:
        answer = await guest.call("POST", "/auth/logout", headers={"Cookie": cookie})

    assert answer.status == 204
    assert answer.headers["Set-Cookie"].startswith('refresh_token="";')
    assert "effect_not_confirmed" in [entry["event"] for entry in logs]
    with sync_database.transaction() as session:
        assert session_of(guest.token) in unclosed(session)
    await leaving.dispose()


async def test_logging_out_twice_at_once_succeeds_twice(guest: Client, account: Account) -> None:
    guest.token = (await account.log_in())["access_token"]
    answers = await asyncio.gather(*(guest.call("POST", "/auth/logout") for _ in range(6)))
    # One that is too late is refused.
    assert {answer.status for answer in answers} <= {204, 401}
    assert await guest.refused("GET", "/me") == "unauthenticated"


async def test_two_cookies_of_one_name_are_refused(guest: Client, account: Account) -> None:
    mine = await account.log_in_by_cookie()
    planted = await account.log_in_by_cookie()
    for cookies in (f"{mine}; {planted}", f"{planted};{mine}", f"{mine}; x=y; {mine}"):
        answer = await refresh_by_cookie(guest, cookies, **OWN)
        assert answer.body["code"] == "invalid_refresh_token"
        assert "Set-Cookie" not in answer.headers
    assert (await refresh_by_cookie(guest, f"x=y; {mine}; refresh_token2=z", **OWN)).status == 201


@pytest.mark.parametrize("value", ["", '"', '"\\303', "=", "x" * 3000, "%00", "é"])
async def test_an_odd_cookie_is_refused(guest: Client, value: str) -> None:
    answer = await refresh_by_cookie(guest, f"refresh_token={value}", **OWN)
    assert answer.body["code"] == "invalid_refresh_token"


async def test_the_log_tells_what_happened_to_an_account_and_no_secrets(
    guest: Client, account: Account
) -> None:
    nobody = Account(guest, f"{uuid4().hex}@example.org")
    with capture_logs() as logs:
        first = await account.log_in()
        second = (await refresh(guest, first["refresh_token"])).body
        await refresh(guest, second["refresh_token"])
        await refresh(guest, first["refresh_token"])
        guest.token = (await account.log_in())["access_token"]
        me = await guest.get("/me")
        await guest.done("POST", "/me/password", {"old_password": PASSWORD, "new_password": "battery staple"})
        for somebody in (account, nobody):
            for _ in range(attempts.FREE + 1):
                await somebody.attempt("wrong password")
    told = [{key: event[key] for key in event if key != "log_level"} for event in logs]
    session_id = str(session_of(first["access_token"]))
    assert told == [
        {"event": "sessions_revoked", "session_ids": [session_id]},
        {"event": "refresh_token_reused", "user_id": me["id"], "session_id": session_id},
        {"event": "password_changed", "user_id": me["id"]},
        {"event": "log_in_refused_too_many_attempts", "user_id": me["id"]},
        {"event": "log_in_refused_too_many_attempts", "user_id": None},
    ]
