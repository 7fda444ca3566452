"""Extending live auctions after an outage: Redis decides, the log brings it to PostgreSQL."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace
from sqlalchemy import select, update

from market.bidding import outage_extensions
from market.platform.alarms import AlarmReason
from market.times import to_ms
from store.ids import new_id
from store.models import AccountKind, AuctionStatus, Event, Extension, Notification
from store.redis.auctions import (
    cancel_auction,
    extend_auction,
    place_bid,
    seal_auction,
)
from store.redis.clients import SyncHot
from store.redis.keys import keys_of
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    NotYet,
    Rejection,
    SealRecord,
)
from tasks.bidding.hot_state import close_due, load_missing
from tasks.bidding.reminders import tell_extended
from tasks.bidding.settlement import settle_due
from tasks.bidding.write_back import drain
from tests.support.stage import LIMIT, Stage


def extend(stage: Stage, auction: UUID, action: UUID, by_ms: int = 5_000) -> ExtensionRecord | str:
    """The record, or the code with which it was rejected."""
    answer = stage.resources.hot.run(extend_auction(auction, action, by_ms))
    return answer.code if isinstance(answer, Rejection) else answer


def settled(stage: Stage, auction: UUID) -> AuctionStatus:
    drain(stage.resources)
    settle_due(stage.resources)
    return stage.stored(auction).status


def test_an_extension_among_bids_comes_to_postgresql_and_the_auction_is_sold(stage: Stage) -> None:
    auction = stage.auction()
    before = stage.stored(auction)
    loser, winner = stage.bidder(auction), stage.bidder(auction)
    first, second = new_id(), new_id()
    extend(stage, auction, first)
    stage.bid(auction, loser, 5_000)
    drain(stage.resources)
    record = extend(stage, auction, second, 1_000)
    stage.bid(auction, winner, 9_000)
    drain(stage.resources)

    stored = stage.stored(auction)
    assert isinstance(record, ExtensionRecord)
    assert (record.seq, stored.seq, stored.bids) == (3, 4, 2)
    assert to_ms(stored.ends_at) == to_ms(before.ends_at) + 6_000 == record.ends_at
    assert to_ms(stored.latest_end) == to_ms(before.latest_end) + 6_000 == record.latest_end
    assert extend(stage, auction, first) == extend(stage, auction, second) == "already_extended"
    stage.seal(auction)
    assert settled(stage, auction) == AuctionStatus.SOLD
    assert stage.balance(AccountKind.AVAILABLE, winner) == LIMIT - 5_100
    assert stage.alarms(auction) == []
    stage.check_ledger()


def test_each_bidder_is_notified_once_for_each_extension(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage_extensions, "BATCH", 1)
    auction, action = stage.auction(), new_id()
    outbid, leader, later = (stage.bidder(auction) for _ in range(3))
    stage.bid(auction, outbid, 5_000)
    stage.bid(auction, leader, 6_000)
    record = extend(stage, auction, action)
    assert isinstance(record, ExtensionRecord)
    stage.bid(auction, later, 7_000)

    for _ in range(2):
        drain(stage.resources)
        stage.log_anything(auction, msgspec.json.encode(record))
        assert extend(stage, auction, action) == "already_extended"
        tell_until_done(stage)
        # As after a crash before the last transaction.
        with stage.resources.database.transaction() as session:
            session.execute(update(Extension).where(Extension.auction_id == auction).values(told_at=None))
    tell_until_done(stage)
    data = {"title": "A bicycle", "epoch": 1, "seq": 3, "ends_at": record.ends_at, "outage": True}
    assert extensions_told(stage, auction) == {outbid: [data], leader: [data]}

    extend(stage, auction, new_id())
    drain(stage.resources)
    tell_until_done(stage)
    told = extensions_told(stage, auction)
    assert {user: len(found) for user, found in told.items()} == {outbid: 2, leader: 2, later: 1}


def test_an_outage_and_a_late_bid_are_told_apart(stage: Stage) -> None:
    auction = stage.auction(ends_at=stage.resources.hot.now_ms() + 30_000)
    leader, other = stage.bidder(auction), stage.bidder(auction)
    first = stage.bid(auction, leader, 5_000)
    while stage.resources.hot.now_ms() == first.at:
        pass  # a bid of the same millisecond moves no end
    assert stage.bid(auction, other, 4_000).extended
    extend(stage, auction, new_id())
    drain(stage.resources)
    tell_until_done(stage)
    told = extensions_told(stage, auction)
    assert [data.get("outage") for data in told[leader]] == [None, True]


def tell_until_done(stage: Stage) -> None:
    """Other tests have extended auctions, too."""
    while True:
        tell_extended(stage.resources)
        with stage.resources.database.transaction() as session:
            if not outage_extensions.unfinished(session):
                return


def extensions_told(stage: Stage, auction: UUID) -> dict[UUID, list[Any]]:
    """How each user was notified of extensions of the auction."""
    told = defaultdict(list)
    with stage.resources.database.transaction() as session:
        for row in session.scalars(
            select(Notification)
            .where(Notification.auction_id == auction, Notification.event == Event.EXTENDED)
            .order_by(Notification.id)
        ):
            told[row.user_id].append(row.data)
    return told


def test_it_is_extended_once_also_across_a_loss_of_redis(stage: Stage) -> None:
    auction = stage.auction()
    bidder, action = stage.bidder(auction), new_id()
    record = extend(stage, auction, action)
    assert isinstance(record, ExtensionRecord)
    drain(stage.resources)
    stage.resources.hot.client.flushdb()
    assert extend(stage, auction, action) == "unavailable"
    load_missing(stage.resources)

    assert extend(stage, auction, action) == "already_extended"
    assert stage.resources.hot.client.hget(keys_of(auction).auction, "ends_at") == b"%d" % record.ends_at
    assert stage.bid(auction, bidder, 5_000).seq == 2
    stage.seal(auction)
    assert settled(stage, auction) == AuctionStatus.SOLD
    assert stage.alarms(auction) == []


def test_a_repeated_record_changes_nothing_and_a_different_one_is_an_alarm(stage: Stage) -> None:
    auction = stage.auction()
    record = extend(stage, auction, new_id())
    assert isinstance(record, ExtensionRecord)
    drain(stage.resources)
    stage.log_anything(auction, msgspec.json.encode(record))
    drain(stage.resources)
    assert stage.alarms(auction) == []

    for other in (
        replace(record, at=record.at + 1),
        replace(record, action=new_id()),
        replace(record, latest_end=record.latest_end + 1),
    ):
        stage.log_anything(auction, msgspec.json.encode(other))
    drain(stage.resources)
    assert stage.alarms(auction) == [AlarmReason.CONFLICT] * 3
    assert to_ms(stage.stored(auction).ends_at) == record.ends_at


def test_an_extension_that_never_came_keeps_the_auction_from_being_settled(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    extend(stage, auction, new_id())
    redis: Any = stage.resources.hot.client
    redis.delete(keys_of(auction).log)
    stage.bid(auction, bidder, 5_000)
    stage.seal(auction)
    assert settled(stage, auction) == AuctionStatus.SEALED
    assert AlarmReason.GAP in stage.alarms(auction)


def test_what_is_over_is_not_extended(stage: Stage) -> None:
    sealed, cancelled = stage.auction(), stage.auction()
    stage.seal(sealed)
    stage.resources.hot.run(cancel_auction(cancelled, force=False))
    assert extend(stage, sealed, new_id()) == extend(stage, cancelled, new_id()) == "closed"


def test_an_end_that_the_outage_hid_comes_later(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.end(auction)
    assert stage.refused(auction, bidder, 5_000) == "closed"
    extend(stage, auction, new_id(), 60_000)
    close_due(stage.resources)
    stage.bid(auction, bidder, 5_000)


def test_raced_with_bids_repeats_and_the_hammer_it_counts_once_or_not_at_all(
    stage: Stage, redis_url: str
) -> None:
    for _ in range(5):
        auction, action = stage.auction(), new_id()
        bidders = [stage.bidder(auction) for _ in range(3)]
        start = Barrier(7, timeout=30)

        def bids(bidder: UUID, auction: UUID = auction, start: Barrier = start) -> list[object]:
            own = SyncHot.connect(redis_url)
            start.wait()
            answers: list[object] = [
                own.run(place_bid(auction, bidder, f"r{n}", 1_000 + 500 * n)) for n in range(20)
            ]
            own.client.close()
            return answers

        def extension(auction: UUID = auction, action: UUID = action, start: Barrier = start) -> object:
            own = SyncHot.connect(redis_url)
            start.wait()
            answer = own.run(extend_auction(auction, action, 60_000))
            own.client.close()
            return answer

        def hammer(auction: UUID = auction, start: Barrier = start) -> SealRecord | NotYet | Rejection:
            own = SyncHot.connect(redis_url)
            start.wait()
            stage.end(auction)
            answer = own.run(seal_auction(auction))
            own.client.close()
            return answer

        with ThreadPoolExecutor(7) as threads:
            sealing = threads.submit(hammer)
            extending = [threads.submit(extension) for _ in range(3)]
            answers = [answer for found in threads.map(bids, bidders) for answer in found]
        extensions = [one.result() for one in extending if isinstance(one.result(), ExtensionRecord)]
        assert len(extensions) <= 1
        if not isinstance(sealing.result(), SealRecord):
            assert extensions, "only that moves the end so far"
            stage.seal(auction)
        accepted = [answer for answer in answers if isinstance(answer, BidRecord)]
        assert settled(stage, auction) == (AuctionStatus.SOLD if accepted else AuctionStatus.UNSOLD)
        assert stage.stored(auction).seq == len(accepted) + len(extensions) + 1
        assert stage.alarms(auction) == []
    stage.check_ledger()
