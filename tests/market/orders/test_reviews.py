"""Reviews of both parties, what they count, and what everybody sees."""

from fractions import Fraction
from functools import partial

import pytest
from sqlalchemy import func, select, update

from market.orders import orders, reviews
from market.orders.reviews import OwnReview
from store.ids import new_id
from store.models import User
from tests.support.factories import make_order, make_user
from tests.support.races import at_once
from tests.support.trade import DAY, Trade


@pytest.fixture
def done(trade: Trade) -> Trade:
    """A completed order."""
    complete(trade)
    return trade


def complete(trade: Trade) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)


def shown(trade: Trade, user: object) -> list[tuple[str, int, str]]:
    assert user in (trade.buyer, trade.seller)
    owner = trade.buyer if user == trade.buyer else trade.seller
    page = trade.do(reviews.page, owner, None, 10)
    return [(review.author_role, review.stars, review.text) for review in page.items]


def test_neither_is_seen_before_both_are_written(done: Trade) -> None:
    own = done.do(reviews.write, done.buyer, done.order_id, 5, "Splendid.")
    assert own.visible_at > own.created_at
    assert shown(done, done.seller) == []
    profile = done.do(reviews.profile, done.seller)
    assert (profile.reviews, profile.rating, profile.completed_orders) == (0, None, 1)
    assert done.do(orders.get, done.buyer, done.order_id).reviewed
    assert not done.do(orders.get, done.seller, done.order_id).reviewed

    done.do(reviews.write, done.seller, done.order_id, 2, "Late.")

    assert shown(done, done.seller) == [("buyer", 5, "Splendid.")]
    assert shown(done, done.buyer) == [("seller", 2, "Late.")]
    profile = done.do(reviews.profile, done.seller)
    assert (profile.reviews, profile.rating) == (1, 500)
    assert done.do(reviews.profile, done.buyer).rating == 200


def test_a_review_without_an_answer_is_seen_and_counted_after_30_days(done: Trade) -> None:
    done.do(reviews.write, done.buyer, done.order_id, 1, "Broken.")
    done.pass_time(29 * DAY)
    with done.database.transaction() as session:
        reviews.count_due(session)
    assert shown(done, done.seller) == []
    done.pass_time(DAY)
    assert shown(done, done.seller) == [("buyer", 1, "Broken.")]
    for _ in range(2):
        with done.database.transaction() as session:
            reviews.count_due(session)
    profile = done.do(reviews.profile, done.seller)
    assert (profile.reviews, profile.rating) == (1, 100)
    assert done.refused(reviews.write, done.seller, done.order_id, 5, "") == "review_closed"


def test_each_side_writes_once_and_only_after_completion(trade: Trade) -> None:
    assert trade.refused(reviews.write, trade.buyer, trade.order_id, 5, "") == "wrong_state"
    complete(trade)
    with trade.database.transaction() as session:
        stranger = make_user(session)
    assert trade.refused(reviews.write, stranger, trade.order_id, 5, "") == "not_found"
    trade.do(reviews.write, trade.buyer, trade.order_id, 5, "")
    assert trade.refused(reviews.write, trade.buyer, trade.order_id, 5, "") == "already_reviewed"


def test_a_refunded_order_is_not_reviewed(trade: Trade) -> None:
    trade.do(orders.refund, trade.seller, trade.order_id)
    assert trade.refused(reviews.write, trade.buyer, trade.order_id, 1, "") == "wrong_state"


def test_at_once_every_review_counts_once(done: Trade) -> None:
    calls = [
        partial(done.do, reviews.write, user, done.order_id, 4, "") for user in (done.buyer, done.seller)
    ] * 3
    answers = at_once(calls)
    assert len([answer for answer in answers if isinstance(answer, OwnReview)]) == 2
    for user in (done.buyer, done.seller):
        assert (done.user(user).reviews, done.user(user).stars) == (1, 4)


def test_the_reviews_of_a_user_come_in_pages(done: Trade) -> None:
    written = []
    for stars in (1, 2, 3):
        with done.database.transaction() as session:
            order = make_order(session, done.seller)
        trade = Trade(done.database, order.id, done.seller, order.buyer_id)
        complete(trade)
        trade.do(reviews.write, trade.buyer, trade.order_id, stars, "")
        trade.do(reviews.write, trade.seller, trade.order_id, 5, "")
        written.append(stars)
    first = done.do(reviews.page, done.seller, None, 2)
    rest = done.do(reviews.page, done.seller, first.next_cursor, 2)
    assert [review.stars for review in first.items + rest.items] == written[::-1]
    assert rest.next_cursor is None
    assert done.refused(reviews.page, done.seller, "no cursor", 2) == "invalid_cursor"
    assert done.refused(reviews.page, new_id(), None, 2) == "not_found"
    assert done.refused(reviews.profile, new_id()) == "not_found"


@pytest.mark.parametrize(
    ("completed", "no_shows", "count", "stars"),
    [
        (0, 0, 0, 0),
        (1, 0, 1, 5),
        (1, 0, 1, 1),
        (100, 0, 100, 500),
        (0, 50, 0, 0),
        (7, 2, 5, 21),
        (3, 1, 3, 9),
    ],
)
def test_trust_is_what_the_document_says(
    trade: Trade, completed: int, no_shows: int, count: int, stars: int
) -> None:
    with trade.database.transaction() as session:
        user = make_user(session)
        session.execute(
            update(User)
            .where(User.id == user)
            .values(completed_orders=completed, no_shows=no_shows, reviews=count, stars=stars)
        )
        trust = session.scalar(select(User.trust).where(User.id == user))
        top = session.scalar(select(func.max(User.trust)))
    weight = 20 + 4 * count + completed + 8 * no_shows
    exact = 100 * (20 * Fraction(6, 10) + (stars - count) + completed) / weight
    assert trust == int(exact + Fraction(1, 2))
    assert top is not None
    assert top <= 100
