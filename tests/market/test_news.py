"""What neighbourhood auctions and orders tell, in the transactions that cause it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import accounts, bidding, handovers, questions, reviews, sessions
from market.auctions import AuctionView
from market.rules import BuyNowUntil
from market.sessions import Lifetime, Opened, RefreshToken
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, Notification
from store.vault import Vault
from tests.database import (
    NO_PASSWORD,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.market.trade import KEYS, Trade

pytestmark = pytest.mark.usefixtures("some_regions")


def bid(session: Session, bidder: UUID, auction: AuctionView, maximum: int | None, ref: str = "") -> None:
    bidding.place(session, bidder, auction.id, ref or str(new_id()), maximum)


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
    assert told(db_session, ann, "sold") == [("outbid", None), ("lost", True)]
    assert told(db_session, bob, "sold") == [("won", True)]
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
        bidding.close(db_session, auction.id)
    assert told(db_session, auction.seller_id, "bids") == [("unsold", 0)]


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


def test_a_new_password_is_told_at_any_hour(db_session: Session) -> None:
    ann = make_user(db_session)
    accounts.change_password(db_session, ann, NO_PASSWORD, "another hash")
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
    for origin in (None, b"home", b"home", b"office", b"home", b"office"):
        opened = sessions.log_in(
            db_session,
            Vault({"test": bytes(32)}),
            ann,
            NO_PASSWORD,
            None,
            RefreshToken.new(),
            Lifetime(60, 60),
            origin,
        )
        assert isinstance(opened, Opened)
    assert told(db_session, ann) == [("login", None)]
