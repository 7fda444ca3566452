"""Redis connections that break or fall silent."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import structlog
from structlog.testing import capture_logs

from realtime.limits import Limits
from realtime.pipe import OutcomeUnknown, Pipe, Unavailable
from store.ids import new_id
from store.redis.auctions import place_bid
from store.redis.clients import Hot, SyncHot
from store.redis.keys import WRITE_BACK_AT, keys_of
from store.redis.records import BidRecord
from store.redis.scripts import SCRIPTS, load_scripts
from tests.support.live_client import load
from tests.support.proxy import Proxy
from tests.support.realtime import Connect, Launch, Process
from tests.support.waiting import until


@pytest.fixture
def limits() -> Limits:
    return Limits(command_s=0.3, heartbeat_s=0.2, position_check_s=3600, load_s=0.3, write_back_age_s=0.1)


@pytest.fixture
async def proxy(redis_url: str) -> AsyncIterator[Proxy]:
    proxy = await Proxy(redis_url).start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def process(proxy: Proxy, launch: Launch, limits: Limits) -> Process:
    """A realtime process that reaches Redis through the proxy only."""
    return await launch("behind-proxy", limits, proxy.url)


async def bids_in_redis(hot: Hot, auction: UUID) -> int:
    return int(await hot.client.hget(keys_of(auction).auction, "bids") or 0)


async def test_a_bid_whose_answer_is_lost_runs_once_and_its_ref_tells_the_outcome(
    hot: Hot, proxy: Proxy, process: Process, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    bidder = await connect(process.url, anna)
    await bidder.request("bid", auction=str(auction), amount=1_000, ref="first")

    proxy.deafen(SCRIPTS.place_bid.sha)
    lost = await bidder.request("bid", auction=str(auction), amount=2_000, ref="second")

    assert (lost["type"], lost["code"]) == ("error", "unavailable")
    assert "same ref" in lost["detail"]
    assert await bids_in_redis(hot, auction) == 2
    await until(lambda: process.realtime.status()["ready"])
    again = await bidder.request("bid", auction=str(auction), amount=2_000, ref="second")
    assert (again["type"], again["seq"], again["maximum"]) == ("accepted", 2, 2_000)
    assert await bids_in_redis(hot, auction) == 2


async def test_a_broken_connection_never_repeats_what_is_pending(
    hot: Hot, sync_hot: SyncHot, proxy: Proxy
) -> None:
    people = [new_id() for _ in range(10)]
    auction = (await load(hot, people)).auction_id
    pipe = Pipe(proxy.url, Limits(command_s=60))
    pipe.start()
    await until(lambda: pipe.connected)
    await pipe.run(place_bid(auction, people[0], "warm", 1_000))
    proxy.deafen(SCRIPTS.place_bid.sha)

    pending = [pipe.run(place_bid(auction, people[n], "b", 2_000 + 1_000 * n)) for n in range(10)]

    await until(lambda: sync_hot.client.hget(keys_of(auction).auction, "bids") == b"11")
    proxy.cut()
    for future in pending:
        with pytest.raises(OutcomeUnknown):
            await future
    await until(lambda: pipe.connected)
    answer = await pipe.run(place_bid(auction, people[9], "b", 11_000))
    assert isinstance(answer, BidRecord)
    assert (answer.seq, await bids_in_redis(hot, auction)) == (11, 11)
    await pipe.stop()
    with pytest.raises(Unavailable):
        pipe.run(place_bid(auction, people[9], "c", 12_000))


async def test_a_script_that_redis_does_not_know_is_given_to_it(
    hot: Hot, redis_url: str, limits: Limits
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    pipe = Pipe(redis_url, limits)
    pipe.start()
    await until(lambda: pipe.connected)
    scripts = load_scripts(f"-- {new_id()}\n")

    calls = [pipe.run(place_bid(auction, anna, f"b{n}", 1_000 + n, scripts=scripts)) for n in range(3)]

    assert {type(await call) for call in calls} == {BidRecord}
    assert await bids_in_redis(hot, auction) == 3
    await pipe.stop()


async def test_a_subscriber_that_falls_silent_is_replaced_and_misses_nothing(
    hot: Hot, proxy: Proxy, process: Process, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    viewer = await connect(process.url)
    await viewer.request("subscribe", auction=str(auction))

    proxy.deafen("SSUBSCRIBE")
    await hot.run(place_bid(auction, anna, "unheard", 2_000))

    assert (await viewer.push("tick"))["last"] == 1
    assert [notice["code"] for notice in viewer.of_type("notice")] == ["interrupted", "restored"]
    assert len(viewer.of_type("snapshot")) == 1


async def test_without_redis_every_request_is_refused_and_later_served(
    hot: Hot, redis_url: str, launch: Launch, limits: Limits, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    proxy = await Proxy(redis_url).start()
    process = await launch("alone", limits, proxy.url)
    bidder = await connect(process.url, anna)
    await proxy.stop()
    await until(lambda: not process.realtime.status()["ready"])

    for request in [
        bidder.request("bid", auction=str(auction), amount=1_000),
        bidder.request("subscribe", auction=str(auction)),
        bidder.request("authenticate", ticket="any"),
    ]:
        reply = await request
        assert (reply["type"], reply["code"]) == ("error", "unavailable")
    assert (await bidder.request("ping"))["type"] == "pong"


async def test_write_back_that_stands_still_is_an_alarm(
    hot: Hot, sync_hot: SyncHot, process: Process
) -> None:
    structlog.reset_defaults()
    await hot.client.delete(WRITE_BACK_AT)
    with capture_logs() as logs:
        await until(lambda: any(entry["event"] == "write_back_stale" for entry in logs))
    alarm = next(entry for entry in logs if entry["event"] == "write_back_stale")
    assert alarm["log_level"] == "error"
    assert alarm["age_ms"] > 100

    def fresh() -> bool:
        sync_hot.client.set(WRITE_BACK_AT, sync_hot.now_ms())
        age_ms = process.realtime.status()["write_back_age_ms"]
        assert isinstance(age_ms, int)
        return age_ms < 100

    await until(fresh)
