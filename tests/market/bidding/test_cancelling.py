"""Cancelling neighbourhood auctions, on the real database; what a live one needs before and after Redis decides."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.bidding import (
    cancelling,
    history,
    hot_state,
    neighbourhood,
)
from market.bidding.cancelling import Cancelled
from market.listings import auction_views, listings
from market.listings.auction_views import AuctionState, AuctionView
from market.money import ledger
from store.database import SyncDatabase
from store.effects import Decision
from store.ids import new_id
from store.models import Auction, AuctionStatus, Bid, Order, Paddle, PaddleStatus, WriteBackAlarm
from store.redis.auctions import cancel_auction
from store.redis.records import BidRecord, Rejection, SealRecord
from tests.support.bids import balances, bid, end, refused
from tests.support.effects import mirrored
from tests.support.factories import (
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once

pytestmark = pytest.mark.usefixtures("some_regions")


@pytest.fixture(autouse=True)
def _the_ledger_balances(sync_database: SyncDatabase) -> Iterator[None]:
    yield
    with sync_database.transaction() as session:
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []


def cancelled(session: Session, auction_id: UUID) -> SealRecord:
    """The record of a cancelled neighbourhood auction, the last that its viewers get."""
    row = session.get_one(Auction, auction_id)
    row.mirrored_seq = -1
    neighbourhood.mirror(session, [row])
    mirror = mirrored(session)[-1]
    *_, record = mirror.records
    assert isinstance(record, SealRecord)
    assert record == mirror.seal
    assert record.cancelled
    assert record.leader == ""
    return record


def at(outcome: Cancelled | Decision[Cancelled]) -> int:
    assert isinstance(outcome, Cancelled)
    return outcome.cancelled_at


def test_a_seller_cancels_what_nobody_has_bid_on(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    ann, _ = make_neighbour(db_session, 50_000)

    outcome = cancelling.by_seller(db_session, auction.seller_id, auction.id, "It broke.")

    seal = cancelled(db_session, auction.id)
    assert at(outcome) == seal.at
    assert (seal.seq, seal.ends_at, seal.bids) == (1, auction.ends_at, 0)
    view = auction_views.get(db_session, auction.id)
    assert (view.state, view.cancel_reason) == (AuctionState.CANCELLED, "It broke.")
    closed = select(Auction.id).where(Auction.id == auction.id, auction_views.in_state("closed"))
    assert db_session.scalar(closed) == auction.id
    assert refused(lambda: bid(db_session, ann, auction, 3_000)) == "cancelled"
    assert refused(lambda: bid(db_session, ann, auction, None)) == "cancelled"
    end(db_session, auction)
    before = len(mirrored(db_session))
    neighbourhood.close(db_session, auction.id)
    assert len(mirrored(db_session)) == before
    assert refused(lambda: bid(db_session, ann, auction, 3_000)) == "cancelled"


def test_what_is_cancelled_is_answered_again_as_it_was(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    first = cancelling.by_seller(db_session, auction.seller_id, auction.id, "It broke.")
    again = cancelling.by_seller(db_session, auction.seller_id, auction.id, "Other words.")
    forced = cancelling.forced(db_session, auction.id, None)
    assert len(mirrored(db_session)) == 1
    assert at(first) == at(again) == at(forced) == cancelled(db_session, auction.id).at
    assert auction_views.get(db_session, auction.id).cancel_reason == "It broke."


def test_a_scheduled_auction_can_be_cancelled(db_session: Session) -> None:
    later = make_neighbourhood_auction(db_session, opens_at=a_draft().ends_at - 1_000)
    cancelling.by_seller(db_session, later.seller_id, later.id, None)
    cancelled(db_session, later.id)
    assert auction_views.get(db_session, later.id).cancel_reason is None


def test_after_the_first_bid_only_force_cancels_and_the_hold_goes_back(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, 3_000)
    first = bid(db_session, ben, auction, 8_000, "mine")
    seller = auction.seller_id
    with pytest.raises(Exception, match="has_bids"), db_session.begin_nested():
        cancelling.by_seller(db_session, seller, auction.id, None)
    assert balances(db_session, ben) == (42_000, 8_000)

    cancelling.forced(db_session, auction.id, "Forbidden goods.")

    seal = cancelled(db_session, auction.id)
    assert (seal.seq, seal.price, seal.bids) == (3, 3_100, 2)
    assert balances(db_session, ann) == balances(db_session, ben) == (50_000, 0)
    assert db_session.scalar(select(func.count()).where(Order.auction_id == auction.id)) == 0
    view = auction_views.get(db_session, auction.id)
    assert (view.state, view.hammer_price, view.winner_paddle) == (AuctionState.CANCELLED, None, None)
    assert history.own_bids(db_session, ben, None, 1).items[0].standing == "lost"
    assert neighbourhood.place(db_session, ben, auction.id, "mine", 8_000) == first
    assert refused(lambda: bid(db_session, ann, auction, 9_000)) == "cancelled"


def test_only_its_seller_cancels_and_only_what_is_published_and_not_over(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    seller, ann = auction.seller_id, make_neighbour(db_session, 50_000)[0]
    assert refused(lambda: cancelling.by_seller(db_session, ann, auction.id, None)) == "forbidden"
    assert refused(lambda: cancelling.by_seller(db_session, seller, new_id(), None)) == "not_found"
    draft = listings.create(db_session, make_user(db_session), a_draft())
    assert refused(lambda: cancelling.by_seller(db_session, draft.seller_id, draft.id, None)) == "wrong_state"
    assert refused(lambda: cancelling.forced(db_session, draft.id, None)) == "wrong_state"
    assert refused(lambda: cancelling.forced(db_session, new_id(), None)) == "not_found"

    bid(db_session, ann, auction, 3_000)
    end(db_session, auction)
    neighbourhood.close(db_session, auction.id)
    assert refused(lambda: cancelling.by_seller(db_session, seller, auction.id, None)) == "closed"
    assert refused(lambda: cancelling.forced(db_session, auction.id, None)) == "wrong_state"


def test_a_hammer_that_an_alarm_keeps_from_being_settled_is_called_off(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    ann, _ = make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, 3_000)
    db_session.add(WriteBackAlarm(auction_id=auction.id, reason="money_refused", record=""))
    end(db_session, auction)
    neighbourhood.close(db_session, auction.id)
    assert db_session.get_one(Auction, auction.id).status == AuctionStatus.SEALED
    assert balances(db_session, ann) == (47_000, 3_000)

    outcome = cancelling.forced(db_session, auction.id, "Something was wrong.")

    assert at(outcome)
    assert balances(db_session, ann) == (50_000, 0)
    view = auction_views.get(db_session, auction.id)
    assert (view.state, view.cancel_reason) == (AuctionState.CANCELLED, "Something was wrong.")


@pytest.mark.parametrize("force", [False, True])
def test_a_live_auction_goes_on_until_redis_has_decided(db_session: Session, force: bool) -> None:
    auction = make_published_auction(db_session)
    if force:
        outcome = cancelling.forced(db_session, auction.id, "Lost.")
    else:
        outcome = cancelling.by_seller(db_session, auction.seller_id, auction.id, "Lost.")
    assert isinstance(outcome, Decision)
    assert outcome.call == cancel_auction(auction.id, force=force)
    view = auction_views.get(db_session, auction.id)
    assert (view.state, view.cancel_reason) == (AuctionState.LIVE, None)
    assert hot_state.hot_state(db_session, auction.id) is not None


def test_the_answers_of_redis() -> None:
    seal = SealRecord(new_id(), 1, 1, 5, 9, 0, "", 0, 0, cancelled=True)
    assert cancelling._decided_at(seal) == 5
    sold = SealRecord(new_id(), 1, 2, 9, 9, 1_000, str(new_id()), 1, 1)
    assert refused(lambda: cancelling._decided_at(sold)) == "closed"


@pytest.mark.parametrize(
    ("code", "refusal"),
    [("has_bids", "has_bids"), ("unavailable", "unavailable"), ("unknown_auction", "unavailable")],
)
def test_what_redis_rejects_is_refused(code: str, refusal: str) -> None:
    assert refused(lambda: cancelling._decided_at(Rejection(code, 5, 0, 0, 0))) == refusal


@pytest.mark.parametrize("force", [False, True])
def test_under_fire_of_bids_no_hold_and_no_bid_is_left_after_the_cancelling(
    sync_database: SyncDatabase, force: bool
) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        bidders = [make_neighbour(session, 100_000)[0] for _ in range(30)]

    def bid_of(bidder: UUID, maximum: int) -> Callable[[], object]:
        def place() -> object:
            with sync_database.transaction() as session:
                return bid(session, bidder, auction, maximum)

        return place

    def cancel() -> object:
        with sync_database.transaction() as session:
            if force:
                return cancelling.forced(session, auction.id, None)
            return cancelling.by_seller(session, auction.seller_id, auction.id, None)

    calls = [bid_of(bidder, 1_000 + 500 * number) for number, bidder in enumerate(bidders)]
    outcomes = at_once([*calls[:15], cancel, *calls[15:]])

    accepted = [outcome for outcome in outcomes if isinstance(outcome, BidRecord)]
    outcome = next((outcome for outcome in outcomes if isinstance(outcome, Cancelled)), None)
    with sync_database.transaction() as session:
        row = session.get_one(Auction, auction.id)
        stored = session.scalars(select(Bid.seq).where(Bid.auction_id == auction.id).order_by(Bid.seq)).all()
        assert stored == sorted(record.seq for record in accepted)
        holds = session.scalars(
            select(Paddle.bidder_id).where(
                Paddle.auction_id == auction.id, Paddle.status == PaddleStatus.ACTIVE
            )
        ).all()
        held = {bidder for bidder in bidders if balances(session, bidder)[1]}
        if outcome is None:
            assert "has_bids" in outcomes
            assert row.status == AuctionStatus.PUBLISHED
            assert held == set(holds) == {row.leader_id}
            return
        seal = cancelled(session, auction.id)
        assert row.status == AuctionStatus.CANCELLED
        assert seal.seq == len(stored) + 1
        assert force or not stored
        assert "cancelled" in outcomes or len(accepted) == len(bidders)
        assert (held, holds) == (set(), [])


def test_the_view_has_no_reason_of_an_attempt_that_was_refused(db_session: Session) -> None:
    auction: AuctionView = make_published_auction(db_session)
    cancelling.by_seller(db_session, auction.seller_id, auction.id, "Never mind.")
    row = db_session.get_one(Auction, auction.id)
    row.status = AuctionStatus.UNSOLD
    db_session.flush()
    assert auction_views.get(db_session, auction.id).cancel_reason is None
