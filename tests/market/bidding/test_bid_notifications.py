"""What neighbourhood auctions and orders tell, in the transactions that cause it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.audit import Actor
from market.bidding import cancelling, neighbourhood
from market.errors import Refusal
from market.listings import questions
from market.listings.auction_views import AuctionView
from market.moderation import fraud_signals
from market.orders import (
    disputes,
    handovers,
    orders,
    reviews,
)
from market.orders.disputes import Outcome
from market.rules import BuyNowUntil
from market.times import clock, to_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, Notification, Role
from tests.support.bids import end
from tests.support.factories import (
    MINUTE_MS,
    NO_PASSWORD,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.trade import KEYS, Trade

pytestmark = pytest.mark.usefixtures("some_regions")


def bid(session: Session, bidder: UUID, auction: AuctionView, maximum: int | None, ref: str = "") -> None:
    neighbourhood.place(session, bidder, auction.id, ref or str(new_id()), maximum)


def told(session: Session, user: UUID, value: str = "seq") -> list[tuple[str, Any]]:
    """The events in the user's list and a value of each, in the order of writing."""
    rows = session.scalars(select(Notification).where(Notification.user_id == user).order_by(Notification.id))
    return [(row.event, row.data.get(value)) for row in rows]


@pytest.fixture
def people(db_session: Session) -> tuple[UUID, UUID]:
    (ann, _), (bob, _) = make_neighbour(db_session, 90_000), make_neighbour(db_session, 90_000)
    return ann, bob


def test_neighbours_hear_who_leads(db_session: Session, people: tuple[UUID, UUID]) -> None:
    ann, bob = people
    auction = make_neighbourhood_auction(db_session, reserve=5_000)
    bid(db_session, ann, auction, 2_000)
    bid(db_session, bob, auction, 1_500)  # accepted, and does not lead
    assert (told(db_session, ann), told(db_session, bob)) == ([], [])
    for _ in range(2):
        bid(db_session, bob, auction, 9_000, ref="once")
    bid(db_session, ann, auction, 10_000)
    assert told(db_session, ann) == [("outbid", 3), ("leading", 4)]
    assert told(db_session, bob) == [("leading", 3), ("outbid", 4)]
    assert told(db_session, auction.seller_id) == [("reserve_met", 3)]


def test_a_refused_bid_tells_nobody(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        (ann, _), (poor, _) = make_neighbour(session, 9_000), make_neighbour(session, 10)
        bid(session, ann, auction, 2_000)
    with pytest.raises(Exception, match="insufficient_funds"), sync_database.transaction() as session:
        bid(session, poor, auction, 5_000)
    with sync_database.transaction() as session:
        assert told(session, ann) == []


def test_a_purchase_tells_of_the_end_at_once(db_session: Session, people: tuple[UUID, UUID]) -> None:
    ann, bob = people
    auction = make_neighbourhood_auction(db_session, buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    bid(db_session, ann, auction, 2_000)
    bid(db_session, bob, auction, None)
    assert told(db_session, ann, "bids") == [("outbid", None), ("lost", 2)]
    assert told(db_session, bob, "bids") == [("won", 2)]
    assert told(db_session, auction.seller_id, "price") == [("sold", 20_000)]


def test_an_end_without_bids_is_told_to_the_seller(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    db_session.execute(
        update(Auction)
        .where(Auction.id == auction.id)
        .values(opens_at=func.now() - timedelta(hours=2), ends_at=func.now() - timedelta(seconds=1))
    )
    db_session.expire_all()
    for _ in range(2):
        neighbourhood.close(db_session, auction.id)
    assert told(db_session, auction.seller_id, "bids") == [("unsold", 0)]


@pytest.mark.parametrize("reserve", [None, 20_000])
def test_the_end_is_told_once_to_everybody_who_has_bid_and_to_the_seller(
    db_session: Session, people: tuple[UUID, UUID], reserve: int | None
) -> None:
    ann, bob = people
    auction = make_neighbourhood_auction(db_session, reserve=reserve)
    bid(db_session, ann, auction, 2_000)
    bid(db_session, bob, auction, 5_000)
    end(db_session, auction)
    for _ in range(2):
        neighbourhood.close(db_session, auction.id)
    outcomes = [told(db_session, user, "bids")[-1] for user in (ann, bob, auction.seller_id)]
    expected = ("lost", "won", "sold") if reserve is None else ("unsold",) * 3
    assert outcomes == [(event, 2) for event in expected]
    assert [len(told(db_session, user)) for user in (ann, bob, auction.seller_id)] == [2, 1, 1]


def test_that_it_was_cancelled_is_told_once(db_session: Session, people: tuple[UUID, UUID]) -> None:
    ann, bob = people
    auction = make_neighbourhood_auction(db_session)
    bid(db_session, ann, auction, 2_000)
    bid(db_session, bob, auction, 5_000)
    for _ in range(2):
        cancelling.forced(db_session, auction.id, "Forbidden goods.")
    for user in (ann, bob, auction.seller_id):
        assert told(db_session, user, "reason")[-1] == ("cancelled", "Forbidden goods.")
    assert [len(told(db_session, user)) for user in (ann, bob, auction.seller_id)] == [2, 1, 1]


def test_who_leads_or_was_outbid_hears_once_that_the_end_has_moved(
    db_session: Session, people: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = people
    now = clock(db_session)
    auction = make_neighbourhood_auction(db_session, ends_at=to_ms(now) + MINUTE_MS // 2)
    for second, (bidder, maximum) in enumerate(
        [(ann, 5_000), (bob, 3_000), (bob, 4_000), (bob, 6_000), (ann, 7_000)]
    ):
        at = now + timedelta(seconds=second)
        monkeypatch.setattr(neighbourhood, "clock", lambda session, at=at: at)
        bid(db_session, bidder, auction, maximum)
    assert sorted(told(db_session, ann)) == [("extended", 2), ("leading", 5), ("outbid", 4)]
    assert sorted(told(db_session, bob)) == [("extended", 5), ("leading", 4), ("outbid", 5)]


def _ship(trade: Trade) -> None:
    trade.ship()


def _confirm(trade: Trade) -> None:
    trade.do(orders.confirm, trade.buyer, trade.order_id)


def _refund(trade: Trade) -> None:
    trade.do(orders.refund, trade.seller, trade.order_id)


def _report_problem(trade: Trade) -> None:
    trade.do(orders.report_problem, trade.buyer, trade.order_id, "It is broken.")


def _wait_in_vain(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(timedelta(days=4))


def _report_no_show(trade: Trade) -> None:
    trade.do(handovers.report_no_show, trade.seller, trade.order_id)


def _contest(trade: Trade) -> None:
    trade.do(handovers.contest, trade.buyer, trade.order_id)


def _resolve(outcome: Outcome, trade: Trade) -> None:
    with trade.database.transaction() as session:
        moderator = Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR)
    trade.do(disputes.resolve, moderator, trade.order_id, outcome, "A photo shows it.")


@pytest.mark.parametrize(
    ("before", "step", "buyer", "seller"),
    [
        ([], _ship, "order_ship", None),
        ([_ship], _confirm, None, "order_confirm"),
        ([], _refund, "order_refund", None),
        ([_ship], _report_problem, None, "order_report_problem"),
        ([_wait_in_vain], _report_no_show, "order_report_no_show", None),
        ([_wait_in_vain, _report_no_show], _contest, None, "order_contest"),
        ([_ship, _report_problem], partial(_resolve, "complete"), *["order_decide_for_seller"] * 2),
        ([_ship, _report_problem], partial(_resolve, "refund"), *["order_decide_for_buyer"] * 2),
    ],
)
def test_a_step_is_told_once_also_when_it_is_tried_again(
    sync_database: SyncDatabase,
    before: Sequence[Callable[[Trade], None]],
    step: Callable[[Trade], None],
    buyer: str | None,
    seller: str | None,
) -> None:
    trade = Trade.begin(sync_database)
    for earlier in before:
        earlier(trade)
    step(trade)
    with pytest.raises(Refusal, match="wrong_state"):
        step(trade)
    with sync_database.transaction() as session:
        found = [[event for event, _ in told(session, side)] for side in (trade.buyer, trade.seller)]
    steps = {event for event in (buyer, seller) if event is not None}
    assert [[event for event in events if event in steps] for events in found] == [
        [] if event is None else [event] for event in (buyer, seller)
    ]


def test_each_step_of_an_order_is_told_to_the_other_side(sync_database: SyncDatabase) -> None:
    trade = Trade.begin(sync_database)
    trade.agree()
    trade.do(_complete, trade)
    with sync_database.transaction() as session:
        assert told(session, trade.buyer, "by") == [
            ("handover_proposed", "seller"),
            ("order_hand_over", "seller"),
        ]
        assert told(session, trade.seller, "state") == [("handover_agreed", "agreed")]
        row = session.scalars(select(Notification).where(Notification.user_id == trade.seller)).one()
        assert (row.order_id, row.data["title"]) == (trade.order_id, "A bicycle")


def _complete(session: Session, trade: Trade) -> None:
    handovers.complete(session, trade.seller, trade.order_id, trade.code(), KEYS)


def test_what_the_clock_does_is_told_to_both_once(sync_database: SyncDatabase) -> None:
    trade = Trade.begin(sync_database)
    trade.pass_time(timedelta(days=8))
    for _ in range(2):
        trade.sweep()
    with sync_database.transaction() as session:
        for side in (trade.buyer, trade.seller):
            assert told(session, side, "by") == [("order_time_out", None)]


def test_a_review_is_told_when_it_can_be_seen(sync_database: SyncDatabase) -> None:
    trade = Trade.begin(sync_database)
    trade.agree()
    trade.do(_complete, trade)
    with sync_database.transaction() as session:
        before = len(told(session, trade.seller))
        reviews.write(session, trade.buyer, trade.order_id, 4, "")
        assert len(told(session, trade.seller)) == before
        reviews.write(session, trade.seller, trade.order_id, 2, "")
        assert told(session, trade.seller, "stars")[-1] == ("review", 4)
        assert told(session, trade.buyer, "stars")[-1] == ("review", 2)
        reviews.count_due(session)
        for side in (trade.seller, trade.buyer):
            assert [event for event, _ in told(session, side)].count("review") == 1


def test_a_new_password_is_told_at_any_hour(db_session: Session) -> None:
    ann = make_user(db_session)
    accounts.change_password(db_session, ann, NO_PASSWORD, "another hash", keep=new_id())
    assert told(db_session, ann) == [("password_changed", None)]


def test_questions_and_first_answers_are_told_without_their_texts(db_session: Session) -> None:
    ann, auction = make_user(db_session), make_published_auction(db_session)
    question = questions.ask(db_session, ann, auction.id, "Is it still there?")
    for text in ("Yes.", "Yes, until Sunday."):
        questions.answer(db_session, auction.seller_id, question.id, text)
    name = str(question.id)
    assert told(db_session, auction.seller_id, "question") == [("question", name)]
    assert told(db_session, ann, "question") == [("answer", name)]


def test_a_log_in_from_elsewhere_is_told_and_the_first_one_not(db_session: Session) -> None:
    ann = make_user(db_session)
    for address, device in [
        (b"home", b"laptop"),
        (b"home", b"laptop"),
        (b"office", b"laptop"),
        (b"office", b"phone"),
        (b"home", b"phone"),
        (b"bus", b"tablet"),
    ]:
        fraud_signals.remember_log_in(db_session, ann, address, device)
    assert told(db_session, ann, "new_device") == [("login", False), ("login", True), ("login", True)]
    assert told(db_session, ann, "new_address") == [("login", True), ("login", False), ("login", True)]
