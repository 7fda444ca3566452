"""What looks like fraud, found by what the tables say, for moderators to look at. Nothing follows from it by itself.

Each kind has its thresholds here; docs/security.md explains them. `why` has the numbers that were found. One signal
stands for one kind and those whom it is about; once reviewed it does not come back.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import Integer, Row, Select, Uuid, and_, cast, delete, exists, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import Session, aliased

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification, Value
from market.pages import Page, list_page
from market.times import clock, to_ms
from store.ids import new_id
from store.models import (
    Auction,
    AuctionStatus,
    Bid,
    Event,
    FraudSignal,
    FraudSignalKind,
    LogInTrace,
    Order,
    Paddle,
    PaddleStatus,
    User,
)

KEEP_TRACES = timedelta(days=90)
LOOK_BACK = timedelta(days=30)
"""Paddles that were taken or changed in this time count."""
MAX_USERS = 10
"""An address of more users is that of a network, and says nothing."""
MAX_DEVICE_USERS = 3
"""Likewise a device: all that is known of one is what the browser calls itself and its languages."""
MIN_AUCTIONS = 5
"""In so many auctions of one seller, and in no others."""
MIN_RETURNED = 10
"""So many paddles given back, and nothing bought."""
NEW_ACCOUNT = timedelta(hours=24)
"""Younger than this at the end of the auction."""
NEAR_CLOSE = timedelta(minutes=10)
"""Before the end."""
BATCH = 1_000
"""How many of a kind are found at a time."""
_SUBJECTS = ("user_id", "other_id", "auction_id")


class FraudSignalView(msgspec.Struct, frozen=True):
    """A signal as moderators see it, open until `reviewed_at`; times in ms. `other_id` is the seller."""

    id: UUID
    kind: FraudSignalKind
    user_id: UUID
    user_name: str
    other_id: UUID | None
    other_name: str | None
    auction_id: UUID | None
    why: dict[str, int]
    created_at: int
    reviewed_at: int | None
    reviewer_id: UUID | None


def remember_log_in(session: Session, user_id: UUID, address_hash: bytes, device_hash: bytes) -> None:
    """Note from where, and with what, somebody has logged in: keyed hashes only. If one of them is new, and not the
    first of all, the user is notified."""
    before = select(
        func.count(),
        func.count().filter(LogInTrace.address_hash == address_hash),
        func.count().filter(LogInTrace.device_hash == device_hash),
    ).where(LogInTrace.user_id == user_id)
    log_ins, from_there, with_that = session.execute(before).one()
    trace = LogInTrace(id=new_id(), user_id=user_id, address_hash=address_hash, device_hash=device_hash)
    session.add(trace)
    session.flush()
    if log_ins and not (from_there and with_that):
        data: dict[str, Value] = {"new_address": not from_there, "new_device": not with_that}
        notifications.notify(session, [NewNotification(user_id, Event.LOGIN, str(trace.id), data)])


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete the traces of a user, whose account is deleted."""
    session.execute(
        delete(LogInTrace).where(LogInTrace.user_id == user_id),
        execution_options={"synchronize_session": False},
    )


def forget_traces(session: Session) -> None:
    """Delete the traces that are too old to count."""
    session.execute(delete(LogInTrace).where(LogInTrace.at < func.now() - KEEP_TRACES))


def find(session: Session, kind: FraudSignalKind) -> int:
    """Look for a kind, note what is new and bring the numbers of open ones up to date; how many were found."""
    query = _unreviewed(kind, _queries()[kind])
    return _note(session, kind, session.execute(query.limit(BATCH)).all())


def page(
    session: Session, reviewed: bool, kind: FraudSignalKind | None, cursor: str | None, limit: int
) -> Page[FraudSignalView]:
    """The open signals, or those that were reviewed, the last found first. Refuses with `invalid_cursor`."""
    state = FraudSignal.reviewed_at.is_not(None) if reviewed else FraudSignal.reviewed_at.is_(None)
    query = _signals().where(state)
    if kind is not None:
        query = query.where(FraudSignal.kind == kind)
    return list_page(session, query, _view, FraudSignal.id, cursor, limit)


def review(session: Session, actor: Actor, signal_id: UUID, reason: str) -> FraudSignalView:
    """Note that somebody has looked at it, and what came of it. Refuses with `not_found`, with `forbidden` a moderator
    whom it is about, or with `wrong_state` if somebody has before."""
    signal = session.get(FraudSignal, signal_id, populate_existing=True, with_for_update={"key_share": True})
    if signal is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    audit.require_impartial(actor, signal.user_id, signal.other_id)
    if signal.reviewed_at is not None:
        raise Refusal(GeneralRefusal.WRONG_STATE, "Somebody has already reviewed this.")
    signal.reviewed_at = clock(session)
    signal.reviewer_id = actor.user_id
    session.flush()
    about = {"kind": signal.kind, "user_id": str(signal.user_id), "why": signal.why}
    audit.record(session, actor, "review_signal", Subject("signal", signal_id), reason, None, about)
    return _view(*session.execute(_signals().where(FraudSignal.id == signal_id)).one())


def _queries() -> dict[FraudSignalKind, Select[*tuple[Any, ...]]]:
    """What finds each kind. The columns `user_id`, `other_id`, `auction_id` say whom it is about, all others why."""
    return {
        FraudSignalKind.SHARED_ADDRESS: _shared("address_hash", MAX_USERS),
        FraudSignalKind.SHARED_DEVICE: _shared("device_hash", MAX_DEVICE_USERS),
        FraudSignalKind.ONE_SELLER: _one_seller(),
        FraudSignalKind.HOLD_HOARDING: _hold_hoarding(),
        FraudSignalKind.NEW_ACCOUNT: _new_accounts(),
    }


def _unreviewed(kind: FraudSignalKind, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """What the query finds and nobody has looked at: what was reviewed must not take the place of others."""
    found = query.subquery()
    same = [getattr(FraudSignal, name) == found.c[name] for name in _SUBJECTS if name in found.c]
    return select(found).where(
        ~exists().where(FraudSignal.kind == kind, FraudSignal.reviewed_at.is_not(None), *same)
    )


def _shared(trait: Literal["address_hash", "device_hash"], max_users: int) -> Select[*tuple[Any, ...]]:
    """Bidders who have logged in from where, or with what, the seller has, unless more than `max_users` have."""
    pairs = (
        select(Paddle.bidder_id, Auction.seller_id, func.count().label("auctions"))
        .join(Auction, Auction.id == Paddle.auction_id)
        .where(Paddle.updated_at > func.now() - LOOK_BACK)
        .group_by(Paddle.bidder_id, Auction.seller_id)
        .subquery()
    )
    bidder, seller, anybody = aliased(LogInTrace), aliased(LogInTrace), aliased(LogInTrace)
    shared = getattr(bidder, trait)
    users = (
        select(func.count(anybody.user_id.distinct()))
        .where(getattr(anybody, trait) == shared)
        .scalar_subquery()
    )
    same_address = bidder.address_hash == seller.address_hash
    same_device = bidder.device_hash == seller.device_hash
    return (
        select(
            pairs.c.bidder_id.label("user_id"),
            pairs.c.seller_id.label("other_id"),
            pairs.c.auctions,
            func.count(shared.distinct()).label("shared"),
            func.max(users).label("users"),
            func.max(cast(same_address & same_device, Integer)).label("same_both"),
        )
        .join(bidder, bidder.user_id == pairs.c.bidder_id)
        .join(seller, and_(seller.user_id == pairs.c.seller_id, getattr(seller, trait) == shared))
        .where(users <= max_users)
        .group_by(pairs.c.bidder_id, pairs.c.seller_id, pairs.c.auctions)
    )


def _one_seller() -> Select[*tuple[Any, ...]]:
    sellers = func.array_agg(Auction.seller_id, type_=ARRAY(Uuid))
    return (
        select(
            Paddle.bidder_id.label("user_id"),
            sellers[1].label("other_id"),
            func.count().label("auctions"),
            func.count().filter(Paddle.status == PaddleStatus.CAPTURED).label("won"),
        )
        .join(Auction, Auction.id == Paddle.auction_id)
        .where(Paddle.updated_at > func.now() - LOOK_BACK)
        .group_by(Paddle.bidder_id)
        .having(func.count() >= MIN_AUCTIONS, func.count(Auction.seller_id.distinct()) == 1)
    )


def _hold_hoarding() -> Select[*tuple[Any, ...]]:
    returned = func.count().filter(Paddle.status == PaddleStatus.RETURNED)
    bought = exists().where(Order.buyer_id == Paddle.bidder_id, Order.created_at > func.now() - LOOK_BACK)
    return (
        select(Paddle.bidder_id.label("user_id"), func.count().label("taken"), returned.label("returned"))
        .where(Paddle.updated_at > func.now() - LOOK_BACK, ~bought)
        .group_by(Paddle.bidder_id)
        .having(returned >= MIN_RETURNED)
    )


def _new_accounts() -> Select[*tuple[Any, ...]]:
    ends_soon = and_(
        Auction.status == AuctionStatus.PUBLISHED,
        Auction.ends_at.between(func.now(), func.now() + NEAR_CLOSE),
    )
    has_ended = and_(Auction.sealed_at > func.now() - NEW_ACCOUNT, ~Auction.cancelled)
    age_ms = func.extract("epoch", Auction.ends_at - User.created_at) * 1000
    bid_late = exists().where(
        Bid.bidder_id == Auction.leader_id,
        Bid.auction_id == Auction.id,
        Bid.at > Auction.ends_at - NEAR_CLOSE,
    )
    return (
        select(
            User.id.label("user_id"),
            Auction.seller_id.label("other_id"),
            Auction.id.label("auction_id"),
            func.floor(age_ms).label("account_age_ms"),
            Auction.price.label("price"),
            Auction.bids.label("bids"),
        )
        .join(User, User.id == Auction.leader_id)
        .where(or_(ends_soon, has_ended), User.created_at > Auction.ends_at - NEW_ACCOUNT, bid_late)
    )


def _note(session: Session, kind: FraudSignalKind, rows: Sequence[Row[*tuple[Any, ...]]]) -> int:
    if not rows:
        return 0
    new = insert(FraudSignal)
    session.execute(
        new.on_conflict_do_update(
            index_elements=[
                FraudSignal.kind,
                FraudSignal.user_id,
                FraudSignal.other_id,
                FraudSignal.auction_id,
            ],
            set_={"why": new.excluded.why},
            where=FraudSignal.reviewed_at.is_(None),
        ),
        [{"id": new_id(), "kind": kind} | _columns(row._asdict()) for row in rows],
    )
    return len(rows)


def _columns(found: dict[str, Any]) -> dict[str, Any]:
    subjects = {name: found.pop(name, None) for name in _SUBJECTS}
    return subjects | {"why": {name: int(value) for name, value in found.items()}}


def _signals() -> Select[FraudSignal, str, str | None]:
    user, other = aliased(User), aliased(User)
    return (
        select(FraudSignal, user.display_name, other.display_name.label("other_name"))
        .join(user, user.id == FraudSignal.user_id)
        .outerjoin(other, other.id == FraudSignal.other_id)
    )


def _view(signal: FraudSignal, user_name: str, other_name: str | None) -> FraudSignalView:
    return FraudSignalView(
        id=signal.id,
        kind=signal.kind,
        user_id=signal.user_id,
        user_name=user_name,
        other_id=signal.other_id,
        other_name=other_name,
        auction_id=signal.auction_id,
        why=signal.why,
        created_at=to_ms(signal.created_at),
        reviewed_at=None if signal.reviewed_at is None else to_ms(signal.reviewed_at),
        reviewer_id=signal.reviewer_id,
    )
