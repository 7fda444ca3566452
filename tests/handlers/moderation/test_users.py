"""Users, as moderators and admins see them and act on them over the API."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from time import time
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tornado.websocket import WebSocketClosedError

from market.bidding import hot_state
from realtime.limits import Limits
from realtime.protocol import CloseCode
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from store.redis import switches
from store.redis.auctions import load_auction
from store.redis.clients import Hot
from store.redis.switches import Switches
from tests.support.client import SECRETS, Client, People
from tests.support.factories import make_published_auction
from tests.support.live_client import Client as Live
from tests.support.live_client import load
from tests.support.realtime import start, stop

WHY = {"reason": "A reason"}


def in_an_hour() -> int:
    return int(time() * 1000) + 3_600_000


@pytest.fixture
def moderator(person: People) -> Client:
    return person(role=Role.MODERATOR)


@pytest.fixture
def admin(person: People) -> Client:
    return person(role=Role.ADMIN)


async def test_a_ban_ends_the_sessions_at_once_and_is_seen(
    moderator: Client, person: People, hot: Hot
) -> None:
    ann = person()
    user = f"/admin/users/{ann.user_id}"
    [session] = (await moderator.get(user))["sessions"]

    with capture_logs() as logs:
        assert (await moderator.call("POST", f"{user}/ban", WHY)).status == 204

    assert await ann.refused("GET", "/me") == "unauthenticated"
    assert await hot.client.exists(f"revoked:{session['id']}")
    assert [event["event"] for event in logs if "sessions" in event["event"]] == ["sessions_revoked"]
    seen = await moderator.get(user)
    assert (seen["standing"], seen["sessions"]) == ("banned", [])
    await moderator.post(f"{user}/unban", WHY)
    assert (await moderator.get(user))["standing"] == "active"


@pytest.mark.usefixtures("default_settings")
async def test_a_ban_closes_all_sockets_within_a_second_under_fire_of_bids(
    moderator: Client, person: People, hot: Hot, redis_url: str
) -> None:
    """On two processes, and also one that hands in its ticket only after the ban."""
    ann = person()
    user = f"/admin/users/{ann.user_id}"
    auction = (await load(hot, [ann.user_id])).auction_id
    await hot.run(switches.put(0, Switches()))
    [session] = (await moderator.get(user))["sessions"]
    processes = [await start(redis_url, name, Limits()) for name in ("banned-1", "banned-2")]
    late = await Live.open(processes[0].url)
    ticket = (await ann.post("/ws-tickets"))["ticket"]
    sockets = [
        await Live.open(process.url, ann.user_id, hot, UUID(session["id"]))
        for process in processes
        for _ in range(2)
    ]
    bids = count(1_000, 100)

    async def bid(socket: Live) -> None:
        while socket.close_code is None:
            with suppress(WebSocketClosedError):
                socket.send("bid", auction=str(auction), maximum=next(bids))
            await asyncio.sleep(0.01)

    fire = [asyncio.create_task(bid(socket)) for socket in sockets]
    try:
        await sockets[0].push("accepted")
        async with asyncio.timeout(1):
            await moderator.post(f"{user}/ban", WHY)
            assert [await socket.closed() for socket in sockets] == [CloseCode.SESSION_REVOKED] * 4
        assert await ann.refused("POST", f"/auctions/{auction}/bids", {"maximum": 10**6}) == "unauthenticated"
        late.send("authenticate", ticket=ticket)
        assert await late.closed() == CloseCode.SESSION_REVOKED
        await asyncio.gather(*fire)
    finally:
        for task in fire:
            task.cancel()
        for socket in (*sockets, late):
            await socket.leave()
        for process in processes:
            await stop(process)


async def test_a_suspended_user_may_look_but_not_bid_on_a_live_auction(
    moderator: Client,
    person: People,
    hot: Hot,
    sync_database: SyncDatabase,
    log_in_again: Callable[[Client], Client],
) -> None:
    ann = person(funds=10_000)
    with sync_database.transaction() as session:
        auction = make_published_auction(session).id
    await ann.post(f"/auctions/{auction}/paddle", {"limit": 2_000})
    with sync_database.transaction() as session:
        state = hot_state.hot_state(session, auction)
    assert state is not None
    await hot.run(load_auction(state))
    user = f"/admin/users/{ann.user_id}"

    until = in_an_hour()
    await moderator.post(f"{user}/suspend", {"until": until, **WHY})

    assert await ann.refused("GET", "/me") == "unauthenticated"
    ann = log_in_again(ann)
    await ann.get(f"/auctions/{auction}")
    refused = await ann.call("POST", f"/auctions/{auction}/bids", {"maximum": 1_500})
    assert (refused.status, refused.body["code"], refused.body["until"]) == (403, "suspended", until)
    assert await ann.refused("POST", f"/auctions/{auction}/purchase") == "suspended"
    assert await ann.refused("POST", "/ws-tickets") == "suspended"
    path = f"/auctions/{auction}/paddle"
    assert await ann.refused("PATCH", path, {"limit": 3_000}, version=1) == "suspended"

    await moderator.post(f"{user}/suspend", {"until": None, **WHY})
    assert (await ann.post(f"/auctions/{auction}/bids", {"maximum": 1_500}))["leading"]
    await ann.post("/ws-tickets")


async def test_sessions_can_be_ended_by_a_moderator(
    moderator: Client, person: People, log_in_again: Callable[[Client], Client]
) -> None:
    ann = person()
    await moderator.post(f"/admin/users/{ann.user_id}/revoke-sessions", WHY)
    assert await ann.refused("GET", "/me") == "unauthenticated"
    assert (await log_in_again(ann).get("/me"))["id"] == str(ann.user_id)


async def test_a_role_is_given_and_taken_by_admins(admin: Client, person: People) -> None:
    ann = person()
    role = f"/admin/users/{ann.user_id}/role"
    await admin.done("PUT", role, {"role": "moderator", **WHY})
    await ann.get("/admin/users")
    assert await ann.refused("PUT", role, {"role": "admin", **WHY}) == "forbidden"
    await admin.done("PUT", role, {"role": "user", **WHY})
    assert await ann.refused("GET", "/admin/users") == "forbidden"
    entries = await admin.items(f"/admin/audit?subject={ann.user_id}&action=set_role", 20)
    assert [entry["after"] for entry in entries] == [{"role": "user"}, {"role": "moderator"}]


async def test_the_search_finds_a_user(moderator: Client, person: People) -> None:
    ann = person()
    email = (await ann.get("/me"))["email"]
    for query in (email, email[:20].upper(), str(ann.user_id)):
        [found] = await moderator.items(f"/admin/users?query={query}", 20)
        assert (found["id"], found["email"], found["standing"]) == (str(ann.user_id), email, "active")
    assert await moderator.items(f"/admin/users?query={new_id()}", 20) == []
    assert await moderator.refused("GET", "/admin/users?cursor=x") == "invalid_cursor"
    assert await moderator.refused("GET", "/admin/users?query=%20") == "invalid_query"


@pytest.mark.parametrize("action", ["warn", "suspend", "ban", "unban", "revoke-sessions", "role"])
async def test_a_reason_is_wanted_of_every_action(admin: Client, person: People, action: str) -> None:
    ann = person()
    method = "PUT" if action == "role" else "POST"
    bodies: dict[str, dict[str, Any]] = {"suspend": {"until": in_an_hour()}, "role": {"role": "moderator"}}
    body = bodies.get(action, {})
    for reason in ("", " ", "x" * 501, None, 1):
        answer = await admin.call(method, f"/admin/users/{ann.user_id}/{action}", body | {"reason": reason})
        assert answer.body["code"] == "invalid_body"
        assert [error["field"] for error in answer.body["errors"]] == ["reason"]
    assert await admin.items(f"/admin/audit?subject={ann.user_id}", 20) == []
    await admin.done(method, f"/admin/users/{ann.user_id}/{action}", body | {"reason": "x" * 500})


async def test_an_unknown_user_is_not_found_and_a_suspension_not_endless(
    admin: Client, person: People
) -> None:
    assert await admin.refused("GET", f"/admin/users/{new_id()}") == "not_found"
    assert await admin.refused("POST", f"/admin/users/{new_id()}/ban", WHY) == "not_found"
    user = f"/admin/users/{person().user_id}"
    for until in (1, 4_000_000_000_000):
        assert await admin.refused("POST", f"{user}/suspend", {"until": until, **WHY}) == "invalid_time"


async def test_no_secret_is_in_what_those_with_a_role_see(admin: Client, person: People) -> None:
    """`Client` looks for the names of secrets in every answer; here also for what they look like."""
    ann = person(funds=10_000)
    user = f"/admin/users/{ann.user_id}"
    for action in ("warn", "ban", "unban", "revoke-sessions"):
        await admin.post(f"{user}/{action}", WHY)
    await admin.post(f"{user}/suspend", {"until": in_an_hour(), **WHY})
    await admin.done("PUT", f"{user}/role", {"role": "moderator", **WHY})
    seen = str([await admin.get(path) for path in (user, f"/admin/audit?subject={ann.user_id}")])
    assert ann.token is not None
    assert ann.token not in seen
    assert not re.search(r"argon2|eyJ|_hash|_key|token|secret", seen)
    assert not [name for name in SECRETS if f"'{name}'" in seen]
