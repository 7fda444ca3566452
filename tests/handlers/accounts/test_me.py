"""The profile and its versions, and the end of an account."""

from asyncio import gather
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from store.database import SyncDatabase
from store.redis import revocations
from store.redis.clients import Hot
from store.redis.tickets import take_ticket
from tests.support.accounts import PASSWORD, Account, refresh, session_of
from tests.support.client import Answer, Client, People
from tests.support.factories import make_published_auction

END = text("UPDATE auctions SET status = 'unsold' WHERE id = :id")


async def test_a_profile_is_edited(person: People) -> None:
    ann = person()
    profile = await ann.get("/me")
    assert set(profile) >= {"id", "email", "display_name", "bio", "role", "created_at", "version"}
    assert (profile["bio"], profile["version"]) == ("", 1)

    edited = await ann.done("PATCH", "/me", {"bio": "Two\nlines."}, version=1)

    assert edited == profile | {"bio": "Two\nlines.", "version": 2}
    edited = await ann.done("PATCH", "/me", {"display_name": "Ann", "bio": "", "language": "ko"}, version=2)
    changed = {"display_name": "Ann", "language": "ko", "version": 3}
    assert edited == profile | changed == await ann.get("/me")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, []),
        ({"email": "a@example.org"}, ["email"]),
        ({"role": "admin", "bio": ""}, ["role"]),
        ({"display_name": None}, ["display_name"]),
        ({"display_name": " "}, ["display_name"]),
        ({"display_name": "x" * 51}, ["display_name"]),
        ({"display_name": "two\nlines"}, ["display_name"]),
        ({"bio": "x" * 501}, ["bio"]),
        ({"bio": "\0"}, ["bio"]),
        ({"bio": None}, ["bio"]),
        ({"language": "fr"}, ["language"]),
    ],
)
async def test_a_wrong_edit_changes_nothing(person: People, body: dict[str, Any], fields: list[str]) -> None:
    ann = person()
    answer = await ann.call("PATCH", "/me", body, version=1)
    assert answer.body["code"] == "invalid_body"
    assert [error["field"] for error in answer.body["errors"]] == fields
    assert (await ann.get("/me"))["version"] == 1


async def if_match(client: Client, value: str) -> Answer:
    return await client.call("PATCH", "/me", {"bio": "new"}, headers={"If-Match": value})


@pytest.mark.parametrize(
    "value", ["", "*", "1", '"1', '""', '"x"', '"1", "2"', '"-1"', '"' + "9" * 19 + '"', "w/1"]
)
async def test_an_edit_names_one_version(person: People, value: str) -> None:
    ann = person()
    assert await ann.refused("PATCH", "/me", {"bio": "new"}) == "precondition_required"
    answer = await if_match(ann, value)
    assert (answer.status, answer.body["code"]) == (428, "precondition_required")
    assert (await ann.get("/me"))["version"] == 1


async def test_another_version_is_not_edited(person: People) -> None:
    ann = person()
    for value in ('"0"', '"2"', '"' + "9" * 18 + '"'):
        answer = await if_match(ann, value)
        assert (answer.status, answer.body["code"]) == (412, "precondition_failed")
    assert (await if_match(ann, '"1"')).status == 200
    assert (await if_match(ann, '"1"')).status == 412
    # As the gateway writes it when it has compressed the answer.
    assert (await if_match(ann, 'W/"2"')).status == 200


async def test_of_parallel_edits_of_one_version_one_counts(person: People) -> None:
    ann = person()
    answers = await gather(*(ann.call("PATCH", "/me", {"bio": str(n)}, version=1) for n in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7
    [won] = [answer.body for answer in answers if answer.status == 200]
    assert await ann.get("/me") == won


async def test_an_etag_is_not_for_caches(person: People) -> None:
    ann = person()
    for value in ('"1"', "*"):
        answer = await ann.call("GET", "/me", headers={"If-None-Match": value})
        assert (answer.status, answer.headers["ETag"]) == (200, '"1"')
    assert (await ann.call("HEAD", "/me")).headers["ETag"] == '"1"'


async def test_a_deleted_account_is_out_at_once_and_its_address_free(
    guest: Client, account: Account, hot: Hot, person: People
) -> None:
    other = person()
    cookie, here, there = await account.log_in_by_cookie(), await account.log_in(), await account.log_in()
    guest.token = here["access_token"]
    user_id = (await guest.get("/me"))["id"]
    ticket = (await guest.post("/ws-tickets"))["ticket"]

    answer = await guest.call("POST", "/me/deletion", {"password": PASSWORD}, headers={"Cookie": cookie})

    assert answer.status == 204
    assert answer.headers["Set-Cookie"].startswith('refresh_token="";')
    for tokens in (here, there):
        guest.token = tokens["access_token"]
        assert await guest.refused("GET", "/me") == "unauthenticated"
        assert (await refresh(guest, tokens["refresh_token"])).body["code"] == "invalid_refresh_token"
    # That sessions are over closes their sockets and refuses the ticket: tests/realtime/test_revocations.py
    taken = await hot.run(take_ticket(ticket))
    assert taken is not None
    assert await hot.run(revocations.revoked([taken.session])) == [taken.session]
    ids = [session_of(tokens["access_token"]) for tokens in (here, there)]
    assert await hot.run(revocations.revoked(ids)) == ids
    await other.get("/me")
    guest.token = None
    assert (await account.attempt()).body["code"] == "invalid_credentials"

    body = {"email": account.email, "password": PASSWORD, "display_name": "Ann again"}
    await guest.post("/auth/register", body)
    guest.token = (await account.log_in())["access_token"]
    profile = await guest.get("/me")
    assert profile["id"] != user_id
    assert profile["display_name"] == "Ann again"


async def test_only_the_password_deletes_and_guessing_it_is_slowed_down(
    guest: Client, account: Account
) -> None:
    guest.token = (await account.log_in())["access_token"]
    wrong = [guest.call("POST", "/me/deletion", {"password": "wrong password"}) for _ in range(6)]
    codes = [answer.body["code"] for answer in await gather(*wrong)]
    assert sorted(codes) == ["invalid_credentials"] * 5 + ["too_many_attempts"]
    await guest.get("/me")


async def test_what_is_not_settled_is_named(
    guest: Client, account: Account, sync_database: SyncDatabase
) -> None:
    guest.token = (await account.log_in())["access_token"]
    user_id = UUID((await guest.get("/me"))["id"])
    await guest.post("/wallet/top-ups", {"id": str(uuid4()), "amount": 700})
    answer = await guest.call("POST", "/me/deletion", {"password": PASSWORD})
    assert (answer.status, answer.body["code"]) == (409, "balance_not_zero")
    assert (answer.body["available"], answer.body["held"]) == (700, 0)

    with sync_database.transaction() as session:
        auction = make_published_auction(session, user_id).id
    answer = await guest.call("POST", "/me/deletion", {"password": PASSWORD})
    assert (answer.status, answer.body["code"]) == (409, "unsettled_business")
    named = {"paddles": [], "auctions": [str(auction)], "orders": []}
    assert {name: answer.body[name] for name in named} == named
    await guest.get("/me")


async def test_others_see_no_name_any_more(
    guest: Client, account: Account, sync_database: SyncDatabase
) -> None:
    token = (await account.log_in())["access_token"]
    guest.token = token
    user_id = UUID((await guest.get("/me"))["id"])
    with sync_database.transaction() as session:
        auction = make_published_auction(session, user_id).id
        session.execute(END, {"id": auction})
    await guest.done("POST", "/me/deletion", {"password": PASSWORD})
    guest.token = None
    assert (await guest.get(f"/auctions/{auction}"))["seller_name"] == "Deleted user"


async def test_a_deletion_without_redis_is_left_to_the_sweep(
    guest: Client, account: Account, redis_away: Callable[[], None]
) -> None:
    guest.token = (await account.log_in())["access_token"]
    redis_away()
    await guest.done("POST", "/me/deletion", {"password": PASSWORD})
    assert await guest.refused("GET", "/me") == "unauthenticated"
