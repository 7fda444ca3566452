"""What bidders and viewers see, on two processes."""

import asyncio
from unittest.mock import Mock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime.limits import Limits
from realtime.replica import Replica
from store.ids import new_id
from store.redis import measurements, switches
from store.redis.auctions import (
    buy_now,
    cancel_auction,
    extend_auction,
    place_bid,
    seal_auction,
)
from store.redis.clients import Hot, SyncHot
from store.redis.records import BidRecord, ExtensionRecord
from store.redis.switches import Switches
from tests.support.live_client import (
    LIMIT,
    Client,
    bid,
    load,
    repeat_last_bid,
    unload,
    watch,
)
from tests.support.realtime import Connect, Launch, Process
from tests.support.waiting import until

Processes = tuple[Process, Process]


@pytest.fixture
def limits() -> Limits:
    return Limits(position_check_s=0.1, viewers_s=0.1, history=16)


def fresh(client: Client) -> Replica:
    """The replica that the last snapshot makes. How many watch, which no replica compares, may have come after it."""
    replica = Replica()
    [snapshot] = [message for message in client.messages if message["type"] != "viewers"][-1:]
    assert snapshot["type"] == "snapshot"
    replica.apply(snapshot)
    return replica


async def test_a_bid_is_answered_and_seen_on_the_other_process(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    viewer = await watch(await connect(processes[1].url), auction)
    bidder = await connect(processes[0].url, anna)

    reply = await bidder.request("bid", auction=str(auction), maximum=50_000)

    assert reply["type"] == "accepted"
    expected = {
        "seq": 1,
        "paddle": 1,
        "maximum": 50_000,
        "price": 1_000,
        "leading": True,
        "next_minimum": 1_100,
    }
    assert expected.items() <= reply.items()
    tick = await viewer.push("tick")
    assert (tick["first"], tick["last"], tick["price"], tick["leader"], tick["count"]) == (1, 1, 1_000, 1, 1)
    assert [*tick["bids"][0]] == ["seq", "paddle", "price", "at"]
    assert "50000" not in str(viewer.messages), "a maximum is secret"
    assert str(anna) not in str(viewer.messages), "others see paddles, not people"


async def test_the_same_ref_again_gets_the_first_answer(hot: Hot, url: str, connect: Connect) -> None:
    anna, bert = new_id(), new_id()
    auction = (await load(hot, [anna, bert])).auction_id
    bidder = await connect(url, anna)
    first = await bidder.request("bid", auction=str(auction), amount=2_000, ref="mine")
    await bid(hot, auction, bert, 5_000)

    again = await (await connect(url, anna)).request("bid", auction=str(auction), amount=2_000, ref="mine")

    unlike = {"received_at", "server_time"}
    assert {k: v for k, v in first.items() if k not in unlike} == {
        k: v for k, v in again.items() if k not in unlike
    }
    other = await bidder.request("bid", auction=str(auction), amount=3_000, ref="mine")
    assert (other["type"], other["code"]) == ("rejected", "ref_reused")


async def test_only_the_bidder_who_lost_the_lead_hears_outbid_on_every_socket(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna, bert, carl = new_id(), new_id(), new_id()
    auction = (await load(hot, [anna, bert, carl])).auction_id
    annas = [await watch(await connect(process.url, anna), auction) for process in processes]
    others = [await watch(await connect(processes[0].url, user), auction) for user in (bert, carl)]
    await bid(hot, auction, anna, 3_000)
    await bid(hot, auction, bert, 4_000)

    for client in annas:
        outbid = await client.push("outbid")
        assert (outbid["seq"], outbid["price"], outbid["next_minimum"]) == (2, 3_100, 3_200)
        assert outbid["your_maximum"] == 3_000
    for client in others:
        await client.reached(auction, 2)
        await client.in_order()
        assert not client.of_type("outbid")


async def test_unsubscribe_ends_the_pushes_of_that_auction_only(hot: Hot, url: str, connect: Connect) -> None:
    anna = new_id()
    left, kept = (await load(hot, [anna])).auction_id, (await load(hot, [anna])).auction_id
    viewer = await watch(await watch(await connect(url), left), kept)
    witness = await watch(await connect(url), left)
    assert (await viewer.request("unsubscribe", auction=str(left)))["type"] == "unsubscribed"

    await bid(hot, left, anna, 2_000)
    await witness.reached(left, 1)
    await bid(hot, kept, anna, 2_000)
    await viewer.push("tick", auction=str(kept))

    assert [tick["auction"] for tick in viewer.of_type("tick")] == [str(kept)]
    again = await viewer.request("unsubscribe", auction=str(left))
    assert again["code"] == "not_subscribed"


async def test_every_kind_of_event_leaves_a_replica_like_a_fresh_snapshot(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna, bert = new_id(), new_id()
    now = await hot.now_ms()
    auction = (
        await load(
            hot,
            [anna, bert],
            ends_at=now + 1_500,
            window_ms=60_000,
            extension_ms=2_500,
            latest_end=now + 2_500,
            reserve=5_000,
            buy_now_price=20_000,
            buy_now_until="reserve_met",
        )
    ).auction_id
    viewer = await watch(await connect(processes[0].url), auction)
    newcomers = []

    async def compare(seq: int) -> None:
        replica = await viewer.reached(auction, seq)
        await viewer.in_order()
        newcomers.append(await watch(await connect(processes[1].url), auction))
        assert replica == fresh(newcomers[-1])

    await compare(0)
    for seq, (bidder, maximum) in enumerate(
        [(anna, 2_000), (bert, 1_500), (bert, 3_000), (bert, 9_000), (anna, 9_000)], 1
    ):
        await bid(hot, auction, bidder, maximum)
        await compare(seq)
    extension = await hot.run(extend_auction(auction, new_id(), 100))
    assert isinstance(extension, ExtensionRecord)
    await compare(6)
    await compare(7)  # the hammer

    assert [message["outage"] for message in viewer.of_type("extended")][-1]
    assert not viewer.of_type("extended")[0]["outage"], "the soft close was tried"
    ticks = [(tick["price"], tick["reserve_met"], tick["buy_now"]) for tick in viewer.of_type("tick")]
    assert ticks[2:4] == [(2_100, False, 20_000), (5_000, True, None)]
    closed = viewer.of_type("closed")[0]
    assert (closed["hammer_price"], closed["winner"], closed["bids"]) == (9_000, 2, 5)
    for newcomer in newcomers:
        assert await newcomer.reached(auction, 7) == viewer.replicas[str(auction)]


async def test_an_auction_without_bids_closes_unsold(hot: Hot, url: str, connect: Connect) -> None:
    auction = (await load(hot, [], ends_at=await hot.now_ms() + 300)).auction_id
    viewer = await watch(await connect(url), auction)

    closed = await viewer.push("closed")

    assert (closed["hammer_price"], closed["winner"], closed["bids"]) == (None, None, 0)
    assert closed["sealed_at"] >= closed["ends_at"]


async def test_below_its_reserve_an_auction_closes_unsold_and_the_reserve_stays_secret(
    hot: Hot, url: str, connect: Connect
) -> None:
    anna = new_id()
    auction = (
        await load(
            hot,
            [anna],
            ends_at=await hot.now_ms() + 600,
            reserve=54_321,
            buy_now_price=60_000,
            buy_now_until="first_bid",
        )
    ).auction_id
    viewer = await watch(await connect(url), auction)
    await bid(hot, auction, anna, 54_320)

    closed = await viewer.push("closed")

    assert (closed["hammer_price"], closed["winner"], closed["bids"]) == (None, None, 1)
    replica = await viewer.reached(auction, 2)
    assert (replica.price, replica.leader, replica.reserve_met, replica.buy_now) == (1_000, 1, False, None)
    newcomer = await watch(await connect(url), auction)
    assert replica == fresh(newcomer)
    assert "54321" not in str(viewer.messages + newcomer.messages)


@pytest.mark.parametrize("bids", [0, 1])
async def test_cancelling_ends_the_auction_for_everybody_before_its_end(
    hot: Hot, processes: Processes, connect: Connect, bids: int
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna], buy_now_price=20_000)).auction_id
    viewer = await watch(await connect(processes[0].url), auction)
    bidder = await connect(processes[1].url, anna)
    if bids:
        await bid(hot, auction, anna, 3_000)

    await hot.run(cancel_auction(auction, force=bids > 0))

    closed = await viewer.push("closed")
    assert (closed["cancelled"], closed["seq"], closed["bids"]) == (True, bids + 1, bids)
    assert (closed["hammer_price"], closed["winner"]) == (None, None)
    assert closed["sealed_at"] < closed["ends_at"]
    reply = await bidder.request("bid", auction=str(auction), maximum=5_000)
    assert (reply["type"], reply["code"]) == ("rejected", "cancelled")
    newcomer = await watch(await connect(processes[1].url), auction)
    snapshot = newcomer.messages[-1]
    assert (snapshot["state"], snapshot["cancelled"], snapshot["buy_now"]) == ("closed", True, None)
    assert viewer.replicas[str(auction)] == fresh(newcomer)


async def test_buying_at_once_ends_the_auction_for_everybody(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna, bert = new_id(), new_id()
    auction = (await load(hot, [anna, bert], buy_now_price=20_000)).auction_id
    leader = await watch(await connect(processes[0].url, anna), auction)
    assert leader.messages[-1]["buy_now"] == 20_000
    await bid(hot, auction, anna, 3_000)
    buyer = await connect(processes[1].url, bert)

    reply = await buyer.request("buy_now", auction=str(auction), ref="mine")

    expected = {"type": "accepted", "seq": 2, "maximum": 20_000, "price": 20_000, "leading": True}
    assert expected.items() <= reply.items()
    assert reply["ends_at"] == reply["decided_at"]
    closed = await leader.push("closed")
    assert (closed["seq"], closed["hammer_price"], closed["winner"]) == (3, 20_000, 2)
    # The clock goes on while the script runs.
    assert closed["ends_at"] == reply["decided_at"] <= closed["sealed_at"] < reply["decided_at"] + 1_000
    outbid = await leader.push("outbid")
    assert (outbid["seq"], outbid["your_maximum"]) == (2, 3_000)
    newcomer = await watch(await connect(processes[1].url), auction)
    assert leader.replicas[str(auction)] == fresh(newcomer)
    assert newcomer.messages[-1]["buy_now"] is None

    again = await (await connect(processes[0].url, bert)).request(
        "buy_now", auction=str(auction), ref="mine", epoch=9
    )
    late = await leader.request("buy_now", auction=str(auction))
    mixed = await buyer.request("bid", auction=str(auction), maximum=20_000, ref="mine")
    assert (again["type"], again["seq"], again["decided_at"]) == ("accepted", 2, reply["decided_at"])
    assert (late["type"], late["code"]) == ("rejected", "closed")
    assert (mixed["type"], mixed["code"]) == ("rejected", "ref_reused")


async def test_a_viewer_that_comes_back_after_a_purchase_hears_of_it_and_the_close(
    hot: Hot, url: str, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna], buy_now_price=20_000)).auction_id
    viewer = await watch(await connect(url), auction)
    await hot.run(buy_now(auction, anna, "mine"))
    await viewer.push("closed")

    back = await connect(url)
    reply = await back.request("subscribe", auction=str(auction), epoch=1, seq=0)
    await back.in_order()

    assert (reply["type"], reply["seq"]) == ("resumed", 2)
    assert [message["type"] for message in back.of_type("tick", "closed")] == ["tick", "closed"]


async def test_a_viewer_that_comes_back_gets_exactly_what_it_missed(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna, bert = new_id(), new_id()
    now = await hot.now_ms()
    auction = (
        await load(
            hot,
            [anna, bert],
            ends_at=now + 9_000,
            window_ms=60_000,
            extension_ms=9_000,
            latest_end=now + 60_000,
        )
    ).auction_id
    stayed = await watch(await connect(processes[0].url), auction)
    dropped = await watch(await connect(processes[0].url), auction)
    await bid(hot, auction, anna, 2_000)
    replica = await dropped.reached(auction, 1)
    await dropped.leave()
    for number in range(5):
        await bid(hot, auction, bert if number % 2 else anna, 3_000 + 500 * number)
    await stayed.reached(auction, 6)

    back = await connect(processes[1].url)
    back.replicas[str(auction)] = replica
    reply = await back.request("subscribe", auction=str(auction), **replica.position())

    assert (reply["type"], reply["seq"]) == ("resumed", 6)
    await back.in_order()
    assert not back.of_type("snapshot")
    assert [entry["seq"] for tick in back.of_type("tick") for entry in tick["bids"]] == [2, 3, 4, 5, 6]
    assert {entry["seq"] for entry in back.of_type("extended")} <= {2, 3, 4, 5, 6}
    await stayed.in_order()
    assert replica == stayed.replicas[str(auction)]
    up_to_date = await back.request("subscribe", auction=str(auction), **replica.position())
    assert (up_to_date["type"], up_to_date["seq"]) == ("resumed", 6)


@pytest.mark.parametrize(("epoch", "seq"), [(7, 1), (1, 99), (0, 0), (1, 0)])
async def test_a_position_that_is_stale_or_impossible_or_too_old_gets_a_snapshot(
    hot: Hot, url: str, connect: Connect, epoch: int, seq: int
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    for number in range(20):  # more than the history of 16
        await bid(hot, auction, anna, 2_000 + number)

    client = await connect(url)
    reply = await client.request("subscribe", auction=str(auction), epoch=epoch, seq=seq)

    assert (reply["type"], reply["seq"], reply["bids"]) == ("snapshot", 20, 20)


async def test_a_gap_is_filled_from_redis(hot: Hot, url: str, connect: Connect) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    viewer = await watch(await connect(url), auction)
    await bid(hot, auction, anna, 2_000)
    await viewer.reached(auction, 1)

    await repeat_last_bid(hot, auction, seq=2, publish=False)
    await repeat_last_bid(hot, auction, seq=3, publish=True)
    await viewer.reached(auction, 3)

    assert [entry["seq"] for tick in viewer.of_type("tick") for entry in tick["bids"]] == [1, 2, 3]
    assert len(viewer.of_type("snapshot")) == 1


async def test_a_lost_last_message_is_found_by_the_position_check(
    hot: Hot, url: str, connect: Connect
) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    viewer = await watch(await connect(url), auction)
    await bid(hot, auction, anna, 2_000)
    await viewer.reached(auction, 1)

    await repeat_last_bid(hot, auction, seq=2, publish=False)

    assert (await viewer.push("tick", first=2))["last"] == 2


async def test_a_busy_room_merges_bids_into_ticks_and_loses_none(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    people = [new_id() for _ in range(20)]
    auction = (await load(hot, people)).auction_id
    viewers = [await watch(await connect(process.url), auction) for process in processes for _ in range(5)]

    answers = await asyncio.gather(
        *(
            hot.run(place_bid(auction, person, "late", LIMIT - number))
            for number, person in enumerate(people)
        ),
        *(
            hot.run(place_bid(auction, person, "soon", 2_000 + 500 * number))
            for number, person in enumerate(people)
        ),
    )

    accepted = sum(isinstance(answer, BidRecord) for answer in answers)
    for viewer in viewers:
        await viewer.reached(auction, accepted)
        assert [entry["seq"] for tick in viewer.of_type("tick") for entry in tick["bids"]] == [
            *range(1, accepted + 1)
        ]
        assert viewer.replicas[str(auction)] == viewers[0].replicas[str(auction)]


async def test_a_reload_under_a_new_epoch_gives_everybody_a_snapshot(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    anna = new_id()
    before = await load(hot, [anna])
    auction = before.auction_id
    viewers = [await watch(await connect(process.url), auction) for process in processes]
    await bid(hot, auction, anna, 2_000)
    for viewer in viewers:
        await viewer.reached(auction, 1)
    await unload(hot, auction)
    await load(hot, [anna], auction_id=auction, epoch=2)

    for viewer in viewers:
        snapshot = await viewer.push("snapshot", start=2, epoch=2)
        assert (snapshot["seq"], snapshot["bids"], snapshot["price"]) == (0, 0, None)
        assert "ref" not in snapshot
    await bid(hot, auction, anna, 3_000)
    for viewer in viewers:
        assert (await viewer.push("tick", epoch=2))["price"] == 1_000


async def test_redis_that_lost_its_last_writes_resets_the_room(hot: Hot, url: str, connect: Connect) -> None:
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    viewer = await watch(await connect(url), auction)
    await bid(hot, auction, anna, 2_000)
    await viewer.reached(auction, 1)
    await unload(hot, auction)
    await load(hot, [anna], auction_id=auction)

    assert (await viewer.push("snapshot", start=2, seq=0))["price"] is None


async def test_viewers_are_counted_over_all_processes(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    auction = (await load(hot, [])).auction_id
    first = await watch(await connect(processes[0].url), auction)
    second = await watch(await connect(processes[1].url), auction)
    third = await watch(await connect(processes[1].url), auction)

    for client in (first, second):
        await client.push("viewers", count=3)
    seen = len(first.messages)
    await third.leave()

    await first.push("viewers", start=seen, count=2)
    assert first.replicas[str(auction)].viewers == 2


async def test_a_scheduled_auction_takes_no_bids_yet(hot: Hot, url: str, connect: Connect) -> None:
    anna, now = new_id(), await hot.now_ms()
    auction = (await load(hot, [anna], opens_at=now + 60_000)).auction_id
    client = await connect(url, anna)

    snapshot = await client.request("subscribe", auction=str(auction))
    reply = await client.request("bid", auction=str(auction), amount=1_000)

    assert (snapshot["state"], snapshot["price"], snapshot["next_minimum"]) == ("scheduled", None, 1_000)
    assert (reply["type"], reply["code"]) == ("rejected", "not_open")


async def test_a_closed_auction_shows_its_result_to_a_newcomer(hot: Hot, url: str, connect: Connect) -> None:
    anna, now = new_id(), await hot.now_ms()
    auction = (
        await load(
            hot,
            [anna],
            ends_at=now - 1,
            price=4_000,
            leader=anna,
            leader_paddle=1,
            leader_maximum=5_000,
            bids=3,
            seq=3,
        )
    ).auction_id
    await hot.run(seal_auction(auction))
    client = await connect(url, anna)

    snapshot = await client.request("subscribe", auction=str(auction))
    reply = await client.request("bid", auction=str(auction), amount=LIMIT)

    expected = {"state": "closed", "hammer_price": 4_000, "winner": 1, "bids": 3, "recent": []}
    assert expected.items() <= snapshot.items()
    assert (reply["type"], reply["code"]) == ("rejected", "closed")


async def test_drain_tells_every_socket_and_closes_it_for_restart(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    auction = (await load(hot, [])).auction_id
    going = [await watch(await connect(processes[0].url), auction) for _ in range(5)]
    staying = await watch(await connect(processes[1].url), auction)

    await processes[0].realtime.drain(2)

    for client in going:
        assert await client.closed() == 1012
        assert client.of_type("drain")[0]["reconnect_in_ms"] >= 0
    assert not processes[0].realtime.status()["ready"]
    await staying.push("viewers", count=1)
    assert await until(lambda: processes[1].realtime.status()["ready"])


async def test_bids_after_the_end_and_sockets_that_watch_are_counted(
    hot: Hot, sync_hot: SyncHot, processes: Processes, connect: Connect
) -> None:
    anna, now = new_id(), await hot.now_ms()
    auction = (await load(hot, [anna], opens_at=now - 2_000, ends_at=now - 1_000)).auction_id
    bidder = await connect(processes[0].url, anna)
    for process in processes:
        await (await connect(process.url)).request("subscribe", auction=str(auction))
    sync_hot.run(measurements.take())
    for maximum in (2_000, 3_000):
        reply = await bidder.request("bid", auction=str(auction), maximum=maximum)
        assert reply["code"] == "closed"
    late = 0

    def counted() -> bool:
        nonlocal late
        measured = sync_hot.run(measurements.take())
        late += measured.late_rejections
        return late == 2 and measured.viewers == 2

    await until(counted)


async def test_a_process_that_never_knew_the_switches_takes_no_bids(
    hot: Hot, launch: Launch, connect: Connect
) -> None:
    """Nobody knows whether bidding is off: Redis has lost its copy, and no worker brings it."""
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    await hot.client.delete(switches.KEY)
    process = await launch("new", Limits())
    bidder = await connect(process.url, anna)
    reply = await bidder.request("bid", auction=str(auction), maximum=2_000)
    assert (reply["type"], reply["code"]) == ("error", "unavailable")
    assert not process.realtime.status()["ready"]
    await hot.run(switches.put(0, Switches()))

    async def accepted() -> bool:
        return bool((await bidder.request("bid", auction=str(auction), maximum=2_000))["type"] == "accepted")

    await until(accepted)
    assert process.realtime.status()["ready"]
    # A process that knew them takes bids on.
    await hot.client.delete(switches.KEY)
    await process.realtime._read_switches()
    assert (await bidder.request("bid", auction=str(auction), maximum=3_000))["type"] == "accepted"


async def test_late_bids_that_redis_was_not_told_of_are_told_later(
    hot: Hot, sync_hot: SyncHot, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hot.client.delete("figures:viewers")
    realtime = (await launch("late-bids", Limits(viewers_s=3600))).realtime
    # It tells at its start, and then not for an hour.
    await until(lambda: hot.client.hexists("figures:viewers", "late-bids"))
    sync_hot.run(measurements.take())
    realtime._live.late_rejections = 2
    with monkeypatch.context() as away:
        away.setattr(measurements, "share", Mock(side_effect=RedisConnectionError))
        with pytest.raises(RedisConnectionError):
            await realtime._share_figures()
    for told in (2, 0):
        await realtime._share_figures()
        assert sync_hot.run(measurements.take()).late_rejections == told
