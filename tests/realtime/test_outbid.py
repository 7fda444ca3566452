"""An outbid bidder is notified at once on every socket, whatever that watches and whatever process decided the bid."""

import time

from store.ids import new_id
from store.redis.clients import Hot
from store.redis.pushes import OutbidPush, outbid_by, publish
from tests.support.live_client import bid, listening, load, watch
from tests.support.realtime import Connect, Process

Processes = tuple[Process, Process]

AT_ONCE_S = 0.1


async def test_outbid_comes_within_100_ms_to_a_socket_of_another_process_that_watches_nothing(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    ann, bob = new_id(), new_id()
    elsewhere, bidder = await connect(processes[1].url, ann), await connect(processes[0].url, bob)
    await listening(hot, ann, bob)
    took = []
    for _ in range(20):
        auction = (await load(hot, [ann, bob])).auction_id
        await bid(hot, auction, ann, 3_000)
        started = time.perf_counter()
        reply = await bidder.request("bid", auction=str(auction), maximum=4_000)
        outbid = await elsewhere.push("outbid", auction=str(auction))
        took.append(time.perf_counter() - started)
        assert reply["type"] == "accepted"
        assert outbid == {
            "type": "outbid",
            "auction": str(auction),
            "epoch": 1,
            "seq": 2,
            "at": reply["decided_at"],
            "price": 3_100,
            "next_minimum": 3_200,
        }
    assert sorted(took)[len(took) // 2] < AT_ONCE_S
    assert not bidder.of_type("outbid")


async def test_a_socket_that_watches_hears_once_with_its_own_maximum(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    ann, bob = new_id(), new_id()
    auction = (await load(hot, [ann, bob])).auction_id
    watching = await watch(await connect(processes[1].url, ann), auction)
    elsewhere, bidder = await connect(processes[0].url, ann), await connect(processes[0].url, bob)
    await listening(hot, ann, bob)
    await bid(hot, auction, ann, 3_000)
    await bidder.request("bid", auction=str(auction), maximum=4_000)

    assert (await watching.push("outbid"))["your_maximum"] == 3_000
    assert "your_maximum" not in await elsewhere.push("outbid")
    for client in (watching, elsewhere):
        await client.in_order()
        assert len(client.of_type("outbid")) == 1


async def test_sending_the_ref_of_an_old_bid_again_bothers_nobody(
    hot: Hot, processes: Processes, connect: Connect
) -> None:
    ann, bob = new_id(), new_id()
    auction = (await load(hot, [ann, bob])).auction_id
    client = await connect(processes[1].url, ann)
    await listening(hot, ann)
    await bid(hot, auction, ann, 3_000)
    beating = await bid(hot, auction, bob, 4_000)
    [(user, push)] = outbid_by(beating)
    assert isinstance(push, OutbidPush)
    old = OutbidPush(auction=auction, epoch=1, seq=2, at=push.at - 60_000, price=1, next_minimum=2)

    await hot.run(publish([(user, old), (user, push)]))

    came = await client.push("outbid")
    await client.in_order()
    assert [message["at"] for message in client.of_type("outbid")] == [push.at]
    assert came["seq"] == 2


async def test_a_purchase_is_told_like_a_bid(hot: Hot, processes: Processes, connect: Connect) -> None:
    ann, bob = new_id(), new_id()
    auction = (await load(hot, [ann, bob], buy_now_price=20_000)).auction_id
    elsewhere, buyer = await connect(processes[1].url, ann), await connect(processes[0].url, bob)
    await listening(hot, ann)
    await bid(hot, auction, ann, 3_000)
    await buyer.request("buy_now", auction=str(auction))
    assert (await elsewhere.push("outbid"))["price"] == 20_000
