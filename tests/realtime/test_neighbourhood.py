"""Neighbourhood auctions are watched like live ones: the same messages, from a mirror that PostgreSQL's doors write."""

from dataclasses import replace

import msgspec

from realtime.protocol import State
from store.ids import new_id
from store.redis.clients import Hot
from store.redis.mirrors import mirror
from store.redis.records import SealRecord
from tests.support.hot_auctions import ANN, after_bid, an_auction
from tests.support.realtime import Connect, Process
from tests.support.waiting import until


async def test_viewers_on_every_process_see_bids_and_the_end(
    hot: Hot, processes: tuple[Process, Process], connect: Connect
) -> None:
    auction = an_auction(await hot.now_ms())
    name = str(auction.auction_id)
    await hot.run(mirror(auction, [], None))
    clients = [await connect(process.url) for process in processes]
    for client in clients:
        await client.request("subscribe", auction=name)

    first, bid_1 = after_bid(auction, 1)
    await hot.run(mirror(first, [bid_1], None))
    await until(lambda: all(client.replicas[name].price == 1_000 for client in clients))

    # The second mirror never came: the third says so by its number, and the rooms read what they missed.
    third, bid_3 = after_bid(auction, 3)
    await hot.run(mirror(third, [bid_3], None))
    await until(lambda: all(client.replicas[name].bids == 3 for client in clients))

    seal = SealRecord(auction.auction_id, 1, 4, auction.ends_at, auction.ends_at, 1_200, str(ANN), 1, 3)
    await hot.run(mirror(replace(third, seq=4), [seal], seal))
    for client in clients:
        closed = await client.push("closed", auction=name)
        assert closed["hammer_price"] == 1_200
    late = await connect(processes[0].url)
    snapshot = await late.request("subscribe", auction=name)
    assert snapshot["state"] == State.CLOSED


async def test_viewers_see_every_bid_when_the_copies_come_in_the_wrong_order(
    hot: Hot, url: str, connect: Connect
) -> None:
    auction = an_auction(await hot.now_ms())
    name = str(auction.auction_id)
    await hot.run(mirror(auction, [], None))
    client = await connect(url)
    await client.request("subscribe", auction=name)
    (first, bid_1), (second, bid_2) = after_bid(auction, 1), after_bid(auction, 2)
    await hot.run(mirror(second, [bid_1, bid_2], None))
    await hot.run(mirror(first, [bid_1], None))
    seen: list[int] = []
    while 2 not in seen:
        seen += [bid["seq"] for bid in (await client.push("tick", auction=name))["bids"]]
    assert seen == [1, 2]


async def test_viewers_forget_what_a_restored_database_has_forgotten(
    hot: Hot, url: str, connect: Connect
) -> None:
    auction = an_auction(await hot.now_ms())
    name = str(auction.auction_id)
    await hot.run(mirror(after_bid(auction, 3)[0], [], None))
    client = await connect(url)
    assert (await client.request("subscribe", auction=name))["price"] == 1_200
    await hot.run(mirror(replace(after_bid(auction, 1)[0], epoch=2), [], None))
    bid_2 = msgspec.structs.replace(after_bid(auction, 2)[1], epoch=2)
    await hot.run(mirror(replace(after_bid(auction, 2)[0], epoch=2), [bid_2], None))
    replica = client.replicas[name]
    await until(lambda: replica.epoch == 2)
    assert (replica.seq, replica.price) == (2, 1_100)


async def test_a_bid_on_the_socket_is_told_that_it_is_the_wrong_kind(
    hot: Hot, url: str, connect: Connect
) -> None:
    auction = an_auction(await hot.now_ms())
    await hot.run(mirror(auction, [], None))
    client = await connect(url, new_id())
    for name, offer in (("bid", {"maximum": 5_000}), ("buy_now", {})):
        reply = await client.request(name, auction=str(auction.auction_id), **offer)
        assert (reply["type"], reply["code"]) == ("rejected", "wrong_kind")
