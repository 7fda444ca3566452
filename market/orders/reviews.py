"""What the two parties of a completed order say about each other, and what everybody may know of a user.

Neither party sees the other's review before both are written or the time for it is over, so none is an answer to the
other. Until then it does not count either.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification, Value
from market.orders import orders, trust
from market.orders.orders import Side
from market.orders.refusals import OrderRefusal
from market.pages import Page, list_page
from market.times import to_ms
from store.ids import new_id
from store.models import Auction, Event, Order, OrderState, Review, User

REVIEW_WITHIN = timedelta(days=30)
MAX_TEXT = 2_000
"""Characters of a review."""
BATCH = 500


class OwnReview(msgspec.Struct, frozen=True):
    """A review as its author sees it. From `visible_at` on everybody does; times in ms."""

    id: UUID
    order_id: UUID
    stars: int
    text: str
    created_at: int
    visible_at: int


class ReviewView(msgspec.Struct, frozen=True):
    """A review as everybody sees it. `author_role` is the author's part in the sale, `created_at` in ms."""

    id: UUID
    author_name: str
    author_role: Side
    stars: int
    text: str
    created_at: int


class PublicProfile(msgspec.Struct, frozen=True):
    """The public profile of a user. `rating` is the mean of the reviews in hundredths of a star, null without any;
    `trust` is from 0 to 100; `member_since` in ms."""

    id: UUID
    display_name: str
    member_since: int
    trust: int
    completed_orders: int
    no_shows: int
    reviews: int
    rating: int | None


def write(session: Session, user_id: UUID, order_id: UUID, stars: int, text: str) -> OwnReview:
    """Review the other party, once.

    Refuses with `not_found`, `wrong_state`, `review_closed` or `already_reviewed`.
    """
    order = orders.locked(session, user_id, order_id)
    if order.state != OrderState.COMPLETED or order.finished_at is None:
        raise Refusal(GeneralRefusal.WRONG_STATE, "Only completed orders can be reviewed.", state=order.state)
    closes_at = order.finished_at + REVIEW_WITHIN
    if session.scalars(select(func.now() >= closes_at)).one():
        raise Refusal(OrderRefusal.REVIEW_CLOSED)
    new = insert(Review).values(
        id=(review_id := new_id()),
        order_id=order_id,
        author_id=user_id,
        subject_id=orders.other_of(order, user_id),
        stars=stars,
        text=text,
        visible_at=closes_at,
    )
    if session.scalar(new.on_conflict_do_nothing().returning(Review.id)) is None:
        raise Refusal(OrderRefusal.ALREADY_REVIEWED)
    both = session.scalars(select(Review.id).where(Review.order_id == order_id)).all()
    if len(both) == 2:
        _show(session, both)
    review = session.get_one(Review, review_id, populate_existing=True)
    return OwnReview(
        review.id, order_id, review.stars, review.text, to_ms(review.created_at), to_ms(review.visible_at)
    )


def count_due(session: Session) -> int:
    """Count the reviews that have become visible because their time was over; how many these were."""
    ids = session.scalars(
        select(Review.id)
        .where(~Review.counted, Review.visible_at <= func.now(), Review.hidden_at.is_(None))
        .order_by(Review.visible_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    _show(session, ids)
    return len(ids)


def profile(session: Session, user_id: UUID) -> PublicProfile:
    """What everybody may know of a user. Refuses with `not_found`."""
    user = session.get(User, user_id)
    if user is None:
        raise _no_user()
    return PublicProfile(
        user.id,
        user.display_name,
        to_ms(user.created_at),
        user.trust,
        user.completed_orders,
        user.no_shows,
        user.reviews,
        round(100 * user.stars / user.reviews) if user.reviews else None,
    )


def page(session: Session, user_id: UUID, cursor: str | None, limit: int) -> Page[ReviewView]:
    """What others say of a user, newest first. Refuses with `not_found` or `invalid_cursor`."""
    if session.get(User, user_id) is None:
        raise _no_user()
    query = (
        select(Review, User.display_name, Order)
        .join(User, User.id == Review.author_id)
        .join(Order, Order.id == Review.order_id)
        .where(Review.subject_id == user_id, shown())
    )
    return list_page(session, query, _view, Review.id, cursor, limit)


def _view(review: Review, author_name: str, order: Order) -> ReviewView:
    return ReviewView(
        review.id,
        author_name,
        orders.side_of(order, review.author_id),
        review.stars,
        review.text,
        to_ms(review.created_at),
    )


def shown() -> ColumnElement[bool]:
    """Which reviews everybody sees."""
    return and_(Review.visible_at <= func.now(), Review.hidden_at.is_(None))


def _show(session: Session, review_ids: Sequence[UUID]) -> None:
    """Make reviews visible, if they are not yet, count each once, and tell whom it is about."""
    shown = session.execute(
        update(Review)
        .where(Review.id.in_(review_ids), ~Review.counted, Review.hidden_at.is_(None))
        .values(visible_at=func.least(Review.visible_at, func.now()), counted=True)
        .returning(Review.id),
        execution_options={"synchronize_session": False},
    )
    reviews = session.execute(
        select(Review, Order.auction_id, Auction.title)
        .join(Order, Order.id == Review.order_id)
        .join(Auction, Auction.id == Order.auction_id)
        .where(Review.id.in_(shown.scalars().all()))
    ).all()
    sums: defaultdict[UUID, dict[str, int]] = defaultdict(lambda: {"reviews": 0, "stars": 0})
    new = []
    for review, auction_id, title in reviews:
        sums[review.subject_id]["reviews"] += 1
        sums[review.subject_id]["stars"] += review.stars
        data: dict[str, Value] = {"title": title, "stars": review.stars}
        new.append(
            NewNotification(
                review.subject_id, Event.REVIEW, str(review.id), data, auction_id, review.order_id
            )
        )
    trust.add(session, sums)
    notifications.notify(session, new)


def _no_user() -> Refusal:
    return Refusal(GeneralRefusal.NOT_FOUND, "There is no such user.")
