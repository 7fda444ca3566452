"""The mirrors of neighbourhood auctions in Redis."""

from dataclasses import replace
from uuid import UUID

import msgspec
import pytest

from store.ids import SHARDS, new_id
from store.redis import auctions, mirrors
from store.redis.auctions import HotAuction, read_auction
from store.redis.calls import Call
from store.redis.clients import SyncHot
from store.redis.keys import keys_of
from store.redis.records import (
    Rejection,
    SealRecord,
    decode_record,
)
from tests.support.hot_auctions import ANN, after_bid, an_auction


@pytest.fixture
def auction(sync_hot: SyncHot) -> HotAuction:
    """An auction that nobody has bid on yet."""
    return an_auction(sync_hot.now_ms())


def history(sync_hot: SyncHot, auction_id: UUID, after: int) -> list[int]:
    """The numbers of the records that are kept."""
    reading = sync_hot.run(read_auction(auction_id, after))
    return [decode_record(text).seq for text in reading.records]


def heard(sync_hot: SyncHot, auction: HotAuction, *calls: Call[bool]) -> list[int]:
    """The numbers of the records that subscribers hear while the calls run."""
    subscriber = sync_hot.client.pubsub()
    subscriber.ssubscribe(keys_of(auction.auction_id).channel)
    assert subscriber.get_sharded_message(timeout=5) is not None
    for call in calls:
        sync_hot.run(call)
    # Redis answers it after all that was published before.
    subscriber.ping()
    numbers = []
    while (message := subscriber.get_sharded_message(timeout=5))["type"] != "pong":
        numbers.append(decode_record(message["data"]).seq)
    subscriber.close()
    return numbers


def test_a_mirror_has_the_auction_and_what_has_led_there(sync_hot: SyncHot, auction: HotAuction) -> None:
    assert sync_hot.run(mirrors.mirror(auction, [], None))
    first, bid_1 = after_bid(auction, 1)
    second, bid_2 = after_bid(auction, 2)
    numbers = heard(
        sync_hot, auction, mirrors.mirror(first, [bid_1], None), mirrors.mirror(second, [bid_2], None)
    )
    assert numbers == [1, 2]
    reading = sync_hot.run(read_auction(auction.auction_id, 0))
    assert reading.state is not None
    assert (reading.state["price"], reading.state["seq"], reading.state["leader"]) == ("1100", "2", str(ANN))
    assert history(sync_hot, auction.auction_id, 1) == [2]
    assert sync_hot.client.ttl(keys_of(auction.auction_id).auction) == -1


def test_a_mirror_never_goes_back_in_time(sync_hot: SyncHot, auction: HotAuction) -> None:
    first, bid_1 = after_bid(auction, 1)
    second, bid_2 = after_bid(auction, 2)
    sync_hot.run(mirrors.mirror(auction, [], None))
    sync_hot.run(mirrors.mirror(second, [bid_2], None))
    assert heard(sync_hot, auction, mirrors.mirror(first, [bid_1], None)) == []
    assert not sync_hot.run(mirrors.mirror(second, [bid_2], None))
    # The first one never came: nobody may be given the second as if it followed.
    assert history(sync_hot, auction.auction_id, 0) == [2]
    third, bid_3 = after_bid(auction, 3)
    sync_hot.run(mirrors.mirror(third, [bid_3], None))
    assert history(sync_hot, auction.auction_id, 1) == [2, 3]


def test_mirrors_in_the_wrong_order_publish_each_record_once_and_in_order(
    sync_hot: SyncHot, auction: HotAuction
) -> None:
    (first, bid_1), (second, bid_2), (third, bid_3) = (after_bid(auction, seq) for seq in (1, 2, 3))
    sync_hot.run(mirrors.mirror(auction, [], None))
    calls = [
        mirrors.mirror(second, [bid_1, bid_2], None),
        mirrors.mirror(first, [bid_1], None),
        mirrors.mirror(third, [bid_1, bid_2, bid_3], None),
        mirrors.mirror(third, [bid_2, bid_3], None),
    ]
    assert heard(sync_hot, auction, *calls) == [1, 2, 3]
    assert history(sync_hot, auction.auction_id, 0) == [1, 2, 3]


def test_a_fresh_epoch_replaces_whatever_was_there(sync_hot: SyncHot, auction: HotAuction) -> None:
    first, bid_1 = after_bid(auction, 1)
    seal = SealRecord(auction.auction_id, 1, 2, auction.ends_at, auction.ends_at, 1_000, str(ANN), 1, 1)
    sync_hot.run(mirrors.mirror(replace(first, seq=2), [bid_1, seal], seal))
    restored = replace(first, epoch=2)
    assert sync_hot.run(mirrors.mirror(restored, [], None))
    reading = sync_hot.run(read_auction(auction.auction_id, 0))
    assert reading.state is not None
    assert (reading.state["epoch"], reading.state["seq"], reading.records) == ("2", "1", [])
    assert "seal" not in reading.state
    assert sync_hot.client.ttl(keys_of(auction.auction_id).auction) == -1
    assert not sync_hot.run(mirrors.mirror(replace(first, seq=9), [], None)), "of the epoch before"
    bid_2 = msgspec.structs.replace(after_bid(auction, 2)[1], epoch=2)
    assert heard(sync_hot, auction, mirrors.mirror(replace(restored, seq=2), [bid_2], None)) == [2]


def test_what_redis_has_of_mirrors_can_be_asked(sync_hot: SyncHot, auction: HotAuction) -> None:
    sync_hot.run(mirrors.mirror(after_bid(auction, 1)[0], [], None))
    assert sync_hot.run(auctions.positions([auction.auction_id, new_id()])) == [(1, 1), None]


def test_no_script_can_bid_in_a_mirror_or_end_it(sync_hot: SyncHot, auction: HotAuction) -> None:
    over = replace(auction, ends_at=sync_hot.now_ms() - 1)
    sync_hot.run(mirrors.mirror(auction, [], None))
    answer = sync_hot.run(auctions.place_bid(auction.auction_id, ANN, "one", 5_000))
    assert isinstance(answer, Rejection)
    assert answer.code == "wrong_kind"
    sync_hot.run(mirrors.mirror(replace(over, seq=1), [], None))
    assert auction.auction_id not in dict(sync_hot.run(auctions.due(sync_hot.now_ms() + 1_000_000)))


def test_an_ended_mirror_stays_for_a_day(sync_hot: SyncHot, auction: HotAuction) -> None:
    first, bid_1 = after_bid(auction, 1)
    sync_hot.run(mirrors.mirror(auction, [], None))
    seal = SealRecord(auction.auction_id, 1, 2, auction.ends_at, auction.ends_at, 1_000, str(ANN), 1, 1)
    sync_hot.run(mirrors.mirror(replace(first, seq=2), [bid_1, seal], seal))
    reading = sync_hot.run(read_auction(auction.auction_id, 0))
    assert reading.state is not None
    assert decode_record(reading.state["seal"].encode()) == seal
    assert history(sync_hot, auction.auction_id, 0) == [1, 2]
    keys = keys_of(auction.auction_id)
    for key in (keys.auction, keys.history):
        assert 23 * 3600 < sync_hot.client.ttl(key) <= 24 * 3600


def test_the_history_is_bounded(
    sync_hot: SyncHot, auction: HotAuction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "HISTORY_LENGTH", 3)
    sync_hot.run(mirrors.mirror(auction, [], None))
    for seq in range(1, 6):
        after, record = after_bid(auction, seq)
        sync_hot.run(mirrors.mirror(after, [record], None))
    assert history(sync_hot, auction.auction_id, 0) == [3, 4, 5]


def test_lost_shards_are_noticed_once(sync_hot: SyncHot) -> None:
    sync_hot.client.flushdb()
    assert sync_hot.run(mirrors.lost_shards()) == list(range(SHARDS))
    sync_hot.run(mirrors.mark_shards([*range(5), *range(6, SHARDS)]))
    assert sync_hot.run(mirrors.lost_shards()) == [5]
