"""A revoked session has no socket: not on this process, not on another, not after a lost connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from realtime.limits import Limits
from realtime.protocol import CloseCode
from store.ids import new_id
from store.redis import revocations
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.tickets import put_ticket
from tests.support.live_client import load
from tests.support.proxy import Proxy
from tests.support.realtime import Connect, Launch, Process
from tests.support.waiting import until


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    proxy = await Proxy(redis_url).start()
    yield proxy
    await proxy.stop()


async def test_a_revoked_session_loses_its_sockets_on_every_process_and_nobody_else_does(
    hot: Hot, processes: tuple[Process, Process], connect: Connect
) -> None:
    user, session = new_id(), new_id()
    mine = [await connect(process.url, user, session) for process in processes]
    other = [await connect(process.url, user) for process in processes]
    watcher = await connect(processes[0].url)

    await hot.run(revocations.publish([session]))

    for client in mine:
        assert await client.closed() == CloseCode.SESSION_REVOKED == 4401
        assert client.connection.close_reason == "session_revoked"
    for client in (*other, watcher):
        await client.in_order()


async def test_a_client_that_ignores_the_goodbye_cannot_bid_any_more(
    hot: Hot, processes: tuple[Process, Process], connect: Connect
) -> None:
    anna, session = new_id(), new_id()
    auction = (await load(hot, [anna])).auction_id
    client = await connect(processes[0].url, anna, session)
    hub = processes[0].realtime._live.hub
    (viewer,) = hub.viewers

    hub.end_session(session)
    # It has not read the goodbye yet, and its bid arrives after it.
    client.send("bid", auction=str(auction), amount=1_000)

    assert viewer.user is None
    assert await client.closed() == CloseCode.SESSION_REVOKED
    assert int(await hot.client.hget(keys_of(auction).auction, "bids") or 0) == 0


async def test_a_ticket_of_a_revoked_session_closes_the_socket(hot: Hot, url: str, connect: Connect) -> None:
    session = new_id()
    ticket = await hot.run(put_ticket(new_id(), session))
    await hot.run(revocations.publish([session]))
    client = await connect(url)
    client.send("authenticate", ticket=ticket)
    assert await client.closed() == CloseCode.SESSION_REVOKED


async def test_what_was_revoked_while_nothing_was_heard_is_found_when_redis_is_back(
    hot: Hot, proxy: Proxy, launch: Launch, connect: Connect
) -> None:
    process = await launch("behind-proxy", Limits(heartbeat_s=0.2), proxy.url)
    session = new_id()
    # The ticket is taken through the proxy, the revocation is made past it.
    client, other = await connect(process.url, new_id(), session), await connect(process.url, new_id())
    proxy.deafen("SSUBSCRIBE")
    await hot.run(revocations.publish([session]))
    await other.push("notice", code="interrupted")

    assert await client.closed() == CloseCode.SESSION_REVOKED
    await other.in_order()


async def test_a_check_of_all_sessions_runs_once_at_a_time_and_survives_what_nobody_expected(
    hot: Hot, processes: tuple[Process, Process], connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_id()
    client = await connect(processes[0].url, new_id(), session)
    hub = processes[0].realtime._live.hub
    asked, go_on = 0, asyncio.Event()
    running = most = 0
    real = hub._hot.run

    async def look(call: Any) -> Any:
        nonlocal asked, running, most
        if not call.ask.__qualname__.startswith("revoked."):
            return await real(call)
        asked, running = asked + 1, running + 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        if asked == 1:
            raise ValueError("nobody expected this")
        return await real(call)

    monkeypatch.setattr(hub._hot, "run", look)
    with capture_logs() as logs:
        for _ in range(3):
            hub._check_sessions()
        await until(lambda: asked == 1)
        await hot.client.set(f"revoked:{session}", 1, ex=60)
        go_on.set()
        assert await client.closed() == CloseCode.SESSION_REVOKED
    await until(lambda: not hub._checking_sessions)
    assert asked == 2
    assert [event["event"] for event in logs if event["log_level"] == "error"] == ["sessions_not_checked"]

    go_on.clear()
    hub._check_sessions()
    await until(lambda: asked == 3)
    hub._check_sessions()  # what was asked may be older than this
    go_on.set()
    await until(lambda: not hub._checking_sessions)
    assert (asked, most) == (4, 1)


async def test_a_socket_that_changes_hands_belongs_to_its_new_session_only(
    hot: Hot, url: str, connect: Connect
) -> None:
    before, after = new_id(), new_id()
    client = await connect(url, new_id(), before)
    await client.request("authenticate", ticket=await hot.run(put_ticket(new_id(), after)))
    await hot.run(revocations.publish([before]))
    await client.in_order()
    await hot.run(revocations.publish([after]))
    assert await client.closed() == CloseCode.SESSION_REVOKED


async def test_revocations_are_kept_for_longer_than_any_ticket(hot: Hot) -> None:
    session = new_id()
    await hot.run(revocations.publish([session]))
    assert await hot.run(revocations.revoked([new_id(), session])) == [session]
    assert await hot.client.ttl(f"revoked:{session}") > 23 * 3600


async def test_nothing_is_left_behind_by_closed_sockets(
    processes: tuple[Process, Process], connect: Connect
) -> None:
    hub = processes[0].realtime._live.hub
    client = await connect(processes[0].url, new_id())
    assert len(hub._sessions) == len(hub._accounts) == 1
    await client.leave()
    await until(lambda: not hub.viewers)
    assert not hub._sessions
    assert not any(account.viewers for account in hub._accounts.values())
