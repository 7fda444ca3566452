"""Bids on neighbourhood auctions, on the real database: rules, money, races."""

import random
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.bidding import hot_state, neighbourhood, paddles
from market.errors import Refusal
from market.listings import auction_views, listings
from market.listings.auction_views import AuctionView
from market.listings.listings import Place
from market.money import ledger
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from market.rules import BuyNowUntil
from market.times import from_ms
from store import effects
from store.database import SyncDatabase
from store.effects import pushes_to_users
from store.models import (
    Auction,
    Bid,
    Neighbourhood,
    Order,
    Paddle,
    PaddleStatus,
)
from store.redis.pushes import OrderPush
from store.redis.records import BidRecord, SealRecord
from tests.support.bids import balances, bid, end, refused
from tests.support.claims import all_due
from tests.support.effects import mirrored
from tests.support.factories import (
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once

HAEUNDAE = (35.163127, 129.163561)

pytestmark = pytest.mark.usefixtures("some_regions")


def sides_told(session: Session) -> set[UUID]:
    """Who is pushed that there is an order."""
    return {user for user, push in pushes_to_users(session) if isinstance(push, OrderPush)}


def test_the_leader_s_maximum_is_held_and_released_when_somebody_else_leads(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)

    first = bid(db_session, ann, auction, 3_000)
    assert (first.price, first.paddle, first.leader) == (1_000, 1, ann)
    assert balances(db_session, ann) == (47_000, 3_000)

    second = bid(db_session, ben, auction, 8_000)
    assert (second.price, second.paddle, second.leader, second.outbid) == (3_100, 2, ben, str(ann))
    assert balances(db_session, ann) == (50_000, 0)
    assert balances(db_session, ben) == (42_000, 8_000)

    raised = bid(db_session, ben, auction, 9_000)
    assert (raised.price, raised.outbid) == (3_100, "")
    assert balances(db_session, ben) == (41_000, 9_000)
    assert bid(db_session, ann, auction, 10_000).paddle == 1, "a paddle keeps its number"
    assert auction_views.get(db_session, auction.id).bids == 4


def test_a_bid_that_does_not_take_the_lead_holds_nothing_but_must_be_covered(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _), (poor, _) = (make_neighbour(db_session, funds) for funds in (50_000, 50_000, 4_999))
    bid(db_session, ann, auction, 9_000)
    assert bid(db_session, ben, auction, 5_000).leader == ann
    assert balances(db_session, ben) == (50_000, 0)
    assert refused(lambda: bid(db_session, poor, auction, 6_000)) == "insufficient_funds"


def test_a_ref_is_answered_as_the_first_time_and_does_nothing_again(db_session: Session) -> None:
    auction = make_neighbourhood_auction(
        db_session, reserve=2_500, buy_now=90_000, buy_now_until=BuyNowUntil.ALWAYS
    )
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    first = bid(db_session, ann, auction, 2_000, "one")
    second = bid(db_session, ben, auction, 7_000, "one")
    db_session.execute(update(Neighbourhood).values(expires_at=func.now()))

    assert neighbourhood.place(db_session, ann, auction.id, "one", 2_000) == first
    assert neighbourhood.place(db_session, ben, auction.id, "one", 7_000) == second
    assert refused(lambda: bid(db_session, ben, auction, 7_001, "one")) == "idempotency_key_reused"
    assert refused(lambda: bid(db_session, ben, auction, None, "one")) == "idempotency_key_reused"
    assert balances(db_session, ben) == (43_000, 7_000)


def test_only_verified_neighbours_within_the_radius_may_bid(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    far, _ = make_neighbour(db_session, 50_000, HAEUNDAE)
    stranger = make_user(db_session)
    expired, _ = make_neighbour(db_session, 50_000)
    db_session.execute(
        update(Neighbourhood).where(Neighbourhood.user_id == expired).values(expires_at=func.now())
    )
    for user in (far, stranger, expired):
        with pytest.raises(Refusal, match="neighbours"):
            bid(db_session, user, auction, 3_000)


def test_what_the_rules_refuse_is_refused_with_the_price_of_the_moment(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    ann, _ = make_neighbour(db_session, 50_000)
    later = make_neighbourhood_auction(db_session, opens_at=auction.ends_at - 1_000)
    assert refused(lambda: bid(db_session, ann, auction, 999)) == "below_minimum"
    assert refused(lambda: bid(db_session, ann, auction, None)) == "no_buy_now"
    assert refused(lambda: bid(db_session, auction.seller_id, auction, 5_000)) == "own_auction"
    assert refused(lambda: bid(db_session, ann, later, 5_000)) == "not_open"
    bid(db_session, ann, auction, 3_000)
    assert refused(lambda: bid(db_session, ann, auction, 3_000)) == "not_above_own_maximum"
    end(db_session, auction)
    with pytest.raises(Refusal) as closed:
        bid(db_session, ann, auction, 5_000)
    assert closed.value.code == "closed"
    assert closed.value.fields["price"] == 1_000


def test_a_live_auction_takes_no_bids_here_and_a_neighbourhood_auction_no_paddle(db_session: Session) -> None:
    seller, _ = make_neighbour(db_session)
    ann, _ = make_neighbour(db_session, 50_000)
    draft = listings.create(db_session, seller, a_draft())
    live = listings.publish(db_session, seller, draft.id)
    assert refused(lambda: bid(db_session, ann, live, 3_000)) == "not_found"

    auction = make_neighbourhood_auction(db_session)
    assert refused(lambda: paddles.take(db_session, ann, auction.id, 3_000)) == "wrong_kind"
    bid(db_session, ann, auction, 3_000)
    assert refused(lambda: paddles.raise_limit(db_session, ann, auction.id, 4_000, 0)) == "wrong_kind"
    assert refused(lambda: paddles.begin_return(db_session, ann, auction.id)) == "wrong_kind"
    assert hot_state.hot_state(db_session, auction.id) is None
    assert auction.id not in hot_state.to_load(db_session)
    unsynced = paddles.unsynced(db_session, older_than_s=-1)
    assert auction.id not in {paddle.auction_id for paddle in unsynced}


def test_the_end_makes_an_order_in_the_same_transaction(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    neighbourhood.close(db_session, auction.id)
    assert auction_views.get(db_session, auction.id).state == "live", "not yet"
    bid(db_session, ann, auction, 3_000)
    bid(db_session, ben, auction, 8_000)
    end(db_session, auction)
    assert auction.id in all_due(db_session, neighbourhood.claim_due)

    neighbourhood.close(db_session, auction.id)

    mirror = mirrored(db_session)[-1]
    *_, seal = mirror.records
    assert isinstance(seal, SealRecord)
    assert (seal.leader, seal.price, seal.seq) == (str(ben), 3_100, 3)
    assert mirror.seal == seal
    assert sides_told(db_session) == {ben, auction.seller_id}
    order = db_session.scalars(select(Order).where(Order.auction_id == auction.id)).one()
    assert (order.buyer_id, order.hammer_price) == (ben, 3_100)
    assert balances(db_session, ben) == (46_900, 0)
    assert balances(db_session, ann) == (50_000, 0)
    assert ledger.trial_balance(db_session) == 0
    before = len(effects.named(db_session))
    neighbourhood.close(db_session, auction.id)
    assert len(effects.named(db_session)) == before, "only once"


def test_below_the_reserve_nobody_wins(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session, reserve=5_000)
    ann, _ = make_neighbour(db_session, 50_000)
    assert not bid(db_session, ann, auction, 3_000).reserve_met
    end(db_session, auction)
    neighbourhood.close(db_session, auction.id)
    mirror = mirrored(db_session)[-1]
    assert mirror.seal is not None
    assert mirror.seal.leader == ""
    assert balances(db_session, ann) == (50_000, 0)
    assert auction_views.get(db_session, auction.id).state == "unsold"


def test_buying_ends_the_auction_at_once_and_pays(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session, buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, 3_000)
    record = neighbourhood.place(db_session, ben, auction.id, "buy", None)
    assert (record.price, record.bought, record.outbid) == (20_000, True, str(ann))
    assert [type(one) for one in mirrored(db_session)[-1].records] == [BidRecord, BidRecord, SealRecord]
    assert balances(db_session, ann) == (50_000, 0)
    assert balances(db_session, ben) == (30_000, 0)
    assert auction_views.get(db_session, auction.id).state == "sold"
    assert neighbourhood.place(db_session, ben, auction.id, "buy", None) == record
    assert refused(lambda: bid(db_session, ann, auction, 40_000)) == "closed"


def test_a_clock_that_steps_back_does_not_open_a_sold_auction_again(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction = make_neighbourhood_auction(db_session, buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    bid(db_session, ann, auction, None)
    before = from_ms(auction.opens_at + 1)
    monkeypatch.setattr(neighbourhood, "clock", lambda session: before)
    assert refused(lambda: bid(db_session, ben, auction, 40_000)) == "closed"
    assert balances(db_session, ben) == (50_000, 0)


def test_publishing_needs_a_neighbourhood_of_the_seller(db_session: Session) -> None:
    seller, home = make_neighbour(db_session)
    other, _ = make_neighbour(db_session)
    place = Place(home, Radius.WIDE)
    assert refused(lambda: listings.create(db_session, other, a_draft(place=place))) == "not_a_neighbour"
    draft = listings.create(db_session, seller, a_draft(place=place))
    assert (draft.kind, draft.radius) == ("neighbourhood", "wide")
    neighbourhoods.give_up(db_session, seller, home)
    assert refused(lambda: listings.publish(db_session, seller, draft.id)) == "not_a_neighbour"


def missing(session: Session, auction: AuctionView) -> list[list[int]]:
    """The numbers of the records that a sweep would bring to Redis, if it would bring the auction at all."""
    before = len(mirrored(session))
    neighbourhood.mirror_missing(session)
    return [
        [record.seq for record in mirror.records]
        for mirror in mirrored(session)[before:]
        if mirror.auction.auction_id == auction.id
    ]


@pytest.fixture
def large_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests leave many that Redis has never seen."""
    monkeypatch.setattr(neighbourhood, "BATCH", 1_000_000)


@pytest.mark.usefixtures("large_batches")
def test_what_redis_has_not_confirmed_is_found_until_it_has(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    assert missing(db_session, auction) == [[]]
    assert neighbourhood.note_mirrors(db_session, {auction.id: (1, 0)}) == []
    assert missing(db_session, auction) == []
    ann, _ = make_neighbour(db_session, 50_000)
    for maximum in (3_000, 4_000, 5_000):
        bid(db_session, ann, auction, maximum)
    assert missing(db_session, auction) == [[1, 2, 3]]
    neighbourhood.note_mirrors(db_session, {auction.id: (1, 2)})
    assert missing(db_session, auction) == [[3]]
    neighbourhood.note_mirrors(db_session, {auction.id: (1, 3)})
    assert missing(db_session, auction) == []


@pytest.mark.usefixtures("large_batches")
@pytest.mark.parametrize(
    ("found", "epoch", "brought"),
    [
        ((1, 2), 1, []),
        ((1, 1), 1, [[2]]),
        (None, 1, [[1, 2]]),
        ((0, 9), 1, [[1, 2]]),
        ((1, 3), 2, [[]]),
        ((4, 1), 5, [[]]),
    ],
)
def test_a_copy_that_contradicts_postgresql_is_written_again(
    db_session: Session, found: tuple[int, int] | None, epoch: int, brought: list[list[int]]
) -> None:
    auction = make_neighbourhood_auction(db_session)
    ann, _ = make_neighbour(db_session, 50_000)
    for maximum in (3_000, 4_000):
        bid(db_session, ann, auction, maximum)
    neighbourhood.note_mirrors(db_session, {auction.id: (1, 2)})
    again = neighbourhood.note_mirrors(db_session, {auction.id: found})
    assert (again == [auction.id]) == (found is None or found[0] != 1 or found[1] > 2)
    assert db_session.scalar(select(Auction.epoch).where(Auction.id == auction.id)) == epoch
    assert missing(db_session, auction) == brought


def test_an_auction_goes_on_under_a_fresh_epoch(db_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    auction = make_neighbourhood_auction(db_session)
    (ann, _), (ben, _) = make_neighbour(db_session, 50_000), make_neighbour(db_session, 50_000)
    first = bid(db_session, ann, auction, 3_000, "one")
    neighbourhood.note_mirrors(db_session, {auction.id: (1, 5)})
    assert neighbourhood.place(db_session, ann, auction.id, "one", 3_000) == first
    second = neighbourhood.place(db_session, ben, auction.id, "two", 8_000)
    assert (second.epoch, second.seq, second.outbid) == (2, 2, str(ann))
    assert [(record.epoch, record.seq) for record in mirrored(db_session)[-1].records] == [(2, 2)]
    monkeypatch.setattr(neighbourhood, "clock", lambda session: from_ms(second.at - 1_000))
    assert bid(db_session, ann, auction, 9_000).at == second.at, "no clock steps back over the epoch"
    monkeypatch.undo()
    end(db_session, auction)
    neighbourhood.close(db_session, auction.id)
    assert sides_told(db_session) == {ann, auction.seller_id}


def test_what_is_told_of_a_bid_is_all_that_redis_may_lack_and_as_it_was_answered(db_session: Session) -> None:
    auction = make_neighbourhood_auction(
        db_session, reserve=5_000, buy_now=20_000, buy_now_until=BuyNowUntil.RESERVE_MET
    )
    (ann, _), (ben, _) = make_neighbour(db_session, 90_000), make_neighbour(db_session, 90_000)
    answers = [
        neighbourhood.place(db_session, bidder, auction.id, f"r{maximum}", maximum)
        for bidder, maximum in ((ann, 2_000), (ben, 3_000), (ben, 6_000), (ann, 8_000))
    ]
    for count, mirror in enumerate(mirrored(db_session), 1):
        assert mirror.records == answers[:count]
    neighbourhood.note_mirrors(db_session, {auction.id: (1, 3)})
    last = neighbourhood.place(db_session, ben, auction.id, "r9000", 9_000)
    assert mirrored(db_session)[-1].records == [answers[3], last]


def test_a_bid_that_comes_while_a_copy_is_read_is_for_the_next_one(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        ann, _ = make_neighbour(session, 50_000)
        bid(session, ann, auction, 3_000)
    with sync_database.transaction() as session:
        read = session.get_one(Auction, auction.id)
        assert read.seq == 1
        with sync_database.transaction() as other:
            bid(other, ann, auction, 4_000)
        neighbourhood.mirror(session, [read])
        [mirror] = mirrored(session)
    assert (mirror.auction.seq, [record.seq for record in mirror.records]) == (1, [1])


def test_copies_are_looked_after_from_publication_until_some_time_after_the_end(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbourhood, "BATCH", 2)

    def looked_after() -> set[UUID]:
        found: set[UUID] = set()
        after = None
        while batch := neighbourhood.looked_after(db_session, after):
            found.update(id for _, id in batch)
            after = batch[-1]
        return found

    running, late, ended, over = (make_neighbourhood_auction(db_session).id for _ in range(4))
    live = make_published_auction(db_session).id
    minutes = {late: (400, 59), ended: (59, 59), over: (61, 61)}
    for auction_id, (ended_at, sealed_at) in minutes.items():
        db_session.execute(
            update(Auction)
            .where(Auction.id == auction_id)
            .values(
                opens_at=func.now() - timedelta(hours=9),
                ends_at=func.now() - timedelta(minutes=ended_at),
                sealed_at=func.now() - timedelta(minutes=sealed_at),
            )
        )
    assert {running, late, ended, over, live} & looked_after() == {running, late, ended}


def test_workers_share_what_is_due_the_first_to_end_first(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auctions_ = [make_neighbourhood_auction(session) for _ in range(3)]
        for number, auction in enumerate(auctions_):
            session.execute(
                update(Auction)
                .where(Auction.id == auction.id)
                .values(
                    opens_at=func.now() - timedelta(hours=9),
                    ends_at=func.now() - timedelta(hours=8, seconds=number),
                )
            )
    third, second, first = (auction.id for auction in auctions_)
    with sync_database.transaction() as one, sync_database.transaction() as other:
        claimed = neighbourhood.claim_due(one, None)
        assert claimed is not None
        assert claimed.id == first
        assert all_due(other, neighbourhood.claim_due)[:2] == [second, third]
        one.rollback()
        other.rollback()
    with sync_database.transaction() as session:
        for auction_id in (first, second, third):
            neighbourhood.close(session, auction_id)
        assert len(mirrored(session)) == 3


def test_a_hundred_parallel_bids_leave_a_rising_history_and_one_hold(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        bidders = [make_neighbour(session, 100_000)[0] for _ in range(100)]
    rng = random.Random(7)

    def bid_of(bidder: UUID, maximum: int) -> Callable[[], BidRecord]:
        def place() -> BidRecord:
            with sync_database.transaction() as session:
                return bid(session, bidder, auction, maximum)

        return place

    outcomes = at_once([bid_of(bidder, rng.randrange(1_000, 90_000, 10)) for bidder in bidders])

    accepted = [outcome for outcome in outcomes if isinstance(outcome, BidRecord)]
    assert {outcome for outcome in outcomes if isinstance(outcome, str)} <= {"below_minimum"}
    with sync_database.transaction() as session:
        rows = list(session.scalars(select(Bid).where(Bid.auction_id == auction.id).order_by(Bid.seq)))
        assert [row.seq for row in rows] == list(range(1, len(accepted) + 1))
        prices = [row.price for row in rows]
        assert prices == sorted(prices)
        assert [row.at for row in rows] == sorted(row.at for row in rows)
        best = max(accepted, key=lambda record: (record.maximum, -record.seq))
        row = session.scalars(select(Auction).where(Auction.id == auction.id)).one()
        assert (row.leader_id, row.leader_maximum) == (best.bidder, best.maximum)
        held = {bidder: balances(session, bidder)[1] for bidder in bidders}
        assert held == {bidder: best.maximum if bidder == best.bidder else 0 for bidder in bidders}
        assert ledger.trial_balance(session) == 0


def test_the_same_money_on_two_auctions_at_once_is_held_for_one(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        first, second = make_neighbourhood_auction(session), make_neighbourhood_auction(session)
        ann, ben = make_neighbour(session, 10_000)[0], make_neighbour(session, 10_000)[0]

    def bid_of(bidder: UUID, auction: AuctionView, maximum: int) -> Callable[[], UUID]:
        def place() -> UUID:
            with sync_database.transaction() as session:
                bid(session, bidder, auction, maximum)
            return auction.id

        return place

    for maximum in range(6_000, 9_000, 300):
        calls = [
            bid_of(bidder, auction, maximum + extra)
            for bidder, extra in ((ann, 0), (ben, 100))
            for auction in ((first, second) if bidder == ann else (second, first))
        ]
        outcomes = at_once(calls)
        refusals = {outcome for outcome in outcomes if isinstance(outcome, str)}
        assert refusals <= {"insufficient_funds", "below_minimum", "not_above_own_maximum"}
        with sync_database.transaction() as session:
            leads = session.execute(
                select(Auction.leader_id, func.sum(Auction.leader_maximum))
                .where(Auction.id.in_([first.id, second.id]), Auction.leader_id.is_not(None))
                .group_by(Auction.leader_id)
            ).all()
            for user in (ann, ben):
                available, held = balances(session, user)
                assert held == {leader: int(total) for leader, total in leads}.get(user, 0)
                assert available + held == 10_000
            active = select(func.count()).where(
                Paddle.auction_id.in_([first.id, second.id]), Paddle.status == PaddleStatus.ACTIVE
            )
            led = select(func.count(Auction.leader_id)).where(Auction.id.in_([first.id, second.id]))
            assert session.scalar(active) == session.scalar(led)
            assert ledger.trial_balance(session) == 0
