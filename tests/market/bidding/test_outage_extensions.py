"""Extending after an outage: which auctions, and the neighbourhood ones in PostgreSQL."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from market.bidding import (
    cancelling,
    hot_state,
    neighbourhood,
    outage_extensions,
)
from market.bidding.outage_extensions import Outage
from market.listings import auction_views
from market.listings.auction_views import AuctionView
from market.rules import BuyNowUntil
from market.times import clock, from_ms, to_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, AuctionStatus, Event, Extension, Notification, Order
from store.redis.records import BidRecord, ExtensionRecord
from tests.support.bids import bid, end, refused
from tests.support.effects import mirrored
from tests.support.factories import (
    MINUTE_MS,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
)
from tests.support.races import at_once

pytestmark = pytest.mark.usefixtures("some_regions")


def change(session: Session, auction: AuctionView, **values: Any) -> None:
    session.execute(update(Auction).where(Auction.id == auction.id).values(**values))
    session.expire_all()


def touched(session: Session, began_at: int, ended_at: int, by_ms: int) -> Sequence[UUID]:
    return outage_extensions.touched(session, Outage(new_id(), began_at, ended_at, by_ms))


@pytest.mark.parametrize(
    ("opens_in", "ends_in", "is_touched"),
    [
        (-60, -20, False),
        (-60, -10, True),
        (-60, 10, True),
        (-7, 10, True),
        (-7, -6, True),
        (-5, 10, True),
        (-4, 10, False),
        (10, 20, False),
    ],
)
def test_an_outage_touches_what_ran_at_any_time_of_it(
    db_session: Session, opens_in: int, ends_in: int, is_touched: bool
) -> None:
    """The outage was from 10 to 5 minutes ago."""
    now = to_ms(clock(db_session))
    for make in (make_published_auction, make_neighbourhood_auction):
        auction = make(db_session)
        change(
            db_session,
            auction,
            published_at=from_ms(now - 90 * MINUTE_MS),
            opens_at=from_ms(now + opens_in * MINUTE_MS),
            ends_at=from_ms(now + ends_in * MINUTE_MS),
            latest_end=from_ms(now + 90 * MINUTE_MS),
        )
        found = touched(db_session, now - 10 * MINUTE_MS, now - 5 * MINUTE_MS, 1)
        assert (auction.id in found) is is_touched


@pytest.mark.parametrize("status", [status for status in AuctionStatus if status != AuctionStatus.PUBLISHED])
def test_what_does_not_run_any_more_or_not_yet_is_not_touched(
    db_session: Session, status: AuctionStatus
) -> None:
    auction, later = make_published_auction(db_session), make_published_auction(db_session)
    now = to_ms(clock(db_session))
    change(db_session, later, published_at=from_ms(now + MINUTE_MS))
    assert auction.id in touched(db_session, now, now, 1)
    assert later.id not in touched(db_session, now, now, 1)
    change(db_session, auction, status=status)
    assert auction.id not in touched(db_session, now, now, 1)


def test_an_impossible_outage_is_refused(db_session: Session) -> None:
    now = to_ms(clock(db_session))
    for times in (
        (now, now - 1, 1),
        (-1, now, 1),
        (now, now + MINUTE_MS, 1),
        (0, 2**70, 1),
        (now, now, 0),
        (now, now, outage_extensions.MAX_EXTENSION_MS + 1),
    ):
        assert refused(partial(touched, db_session, *times)) == "invalid_time"


def test_an_auction_ends_later_once_for_each_action(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    ann, _ = make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, 3_000)
    first, second = new_id(), new_id()

    assert neighbourhood.extend(db_session, auction.id, first, 5_000)

    mirror = mirrored(db_session)[-1]
    *_, record = mirror.records
    assert isinstance(record, ExtensionRecord)
    assert (record.seq, record.action) == (2, first)
    assert (record.ends_at, record.latest_end) == (auction.ends_at + 5_000, auction.latest_end + 5_000)
    assert (mirror.auction.seq, mirror.auction.ends_at, mirror.seal) == (2, record.ends_at, None)
    assert not neighbourhood.extend(db_session, auction.id, first, 5_000)
    assert neighbourhood.extend(db_session, auction.id, second, 1_000)
    view = auction_views.get(db_session, auction.id)
    assert (view.ends_at, view.latest_end) == (auction.ends_at + 6_000, auction.latest_end + 6_000)


def test_who_had_bid_among_neighbours_is_told_once(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, 3_000)
    bid(db_session, ben, auction, 8_000)
    action = new_id()
    for _ in range(2):
        neighbourhood.extend(db_session, auction.id, action, 5_000)
    moved = [moved for moved in outage_extensions.unfinished(db_session) if moved.auction_id == auction.id]
    assert moved == [outage_extensions.Moved(auction.id, action)]
    for _ in range(2):
        assert not outage_extensions.notify_bidders(db_session, moved[0])
    assert moved[0] not in outage_extensions.unfinished(db_session)
    told = db_session.execute(
        select(Notification.user_id, Notification.data["ends_at"].astext).where(
            Notification.event == Event.EXTENDED, Notification.auction_id == auction.id
        )
    ).all()
    assert sorted(told) == sorted((user, str(auction.ends_at + 5_000)) for user in (ann, ben))


def test_bids_answers_and_settlement_go_on_across_an_extension(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    first = bid(db_session, ann, auction, 3_000, "one")
    neighbourhood.extend(db_session, auction.id, new_id(), 5_000)
    second = bid(db_session, ben, auction, 8_000, "two")
    assert (second.seq, second.bids, second.outbid) == (3, 2, str(ann))
    neighbourhood.extend(db_session, auction.id, new_id(), 5_000)
    row = db_session.get_one(Auction, auction.id)
    neighbourhood.mirror(db_session, [row])
    told = mirrored(db_session)[-1].records
    assert [(type(record), record.seq) for record in told] == [
        (BidRecord, 1),
        (ExtensionRecord, 2),
        (BidRecord, 3),
        (ExtensionRecord, 4),
    ]
    row.mirrored_seq = 2
    db_session.flush()
    neighbourhood.mirror(db_session, [row])
    assert mirrored(db_session)[-1].records == told[2:], "the bid before an extension was outbid"
    assert neighbourhood.place(db_session, ann, auction.id, "one", 3_000) == first
    assert neighbourhood.place(db_session, ben, auction.id, "two", 8_000) == second
    end(db_session, auction)
    neighbourhood.close(db_session, auction.id)
    assert auction_views.get(db_session, auction.id).state == "sold"
    assert db_session.scalars(select(Order.buyer_id).where(Order.auction_id == auction.id)).one() == ben


def test_a_clock_that_steps_back_after_an_extension_still_orders_the_bids(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    first = bid(db_session, ann, auction, 3_000)
    neighbourhood.extend(db_session, auction.id, new_id(), 5_000)
    before = from_ms(first.at - 10)
    monkeypatch.setattr(neighbourhood, "clock", lambda session: before)
    assert bid(db_session, ben, auction, 8_000).at == first.at


def test_what_is_over_is_not_extended(db_session: Session) -> None:
    bought = make_neighbourhood_auction(db_session, buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    ann, _ = make_neighbour(db_session, 50_000)
    bid(db_session, ann, bought, None)
    cancelled = make_neighbourhood_auction(db_session)
    cancelling.by_seller(db_session, cancelled.seller_id, cancelled.id, None)
    live = make_published_auction(db_session)
    for auction in (bought, cancelled, live):
        assert not neighbourhood.extend(db_session, auction.id, new_id(), 5_000)
    assert refused(lambda: neighbourhood.extend(db_session, new_id(), new_id(), 5_000)) == "not_found"


def test_what_has_been_extended_is_loaded_into_redis_with_it(db_session: Session) -> None:
    auction = make_published_auction(db_session)
    action, at = new_id(), from_ms(auction.ends_at)
    db_session.add(
        Extension(auction_id=auction.id, action_id=action, epoch=1, seq=1, at=at, ends_at=at, latest_end=at)
    )
    db_session.flush()
    state = hot_state.hot_state(db_session, auction.id)
    assert state is not None
    assert state.extended_by == [action]


def test_the_same_action_many_times_at_once_among_bids_extends_once(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        bidders = [make_neighbour(session, 100_000)[0] for _ in range(10)]
    action = new_id()

    def extend() -> bool:
        with sync_database.transaction() as session:
            return neighbourhood.extend(session, auction.id, action, 5_000)

    def bid_of(number: int) -> Callable[[], bool]:
        def place() -> bool:
            with sync_database.transaction() as session:
                bid(session, bidders[number], auction, 1_000 + 500 * number)
            return False

        return place

    outcomes = at_once([call for number in range(10) for call in (bid_of(number), extend)])

    assert outcomes.count(True) == 1
    with sync_database.transaction() as session:
        row = session.get_one(Auction, auction.id)
        assert to_ms(row.ends_at) == auction.ends_at + 5_000
        assert row.seq == row.bids + 1


def test_raced_with_its_end_an_auction_is_sold_or_goes_on(sync_database: SyncDatabase) -> None:
    for _ in range(5):
        with sync_database.transaction() as session:
            auction = make_neighbourhood_auction(session)
            end(session, auction)

        def extend(auction: AuctionView = auction) -> object:
            with sync_database.transaction() as session:
                return neighbourhood.extend(session, auction.id, new_id(), 600_000)

        def close(auction: AuctionView = auction) -> object:
            with sync_database.transaction() as session:
                neighbourhood.close(session, auction.id)
                return bool(mirrored(session))

        extended, closed = at_once([extend, close])
        assert extended is not closed
