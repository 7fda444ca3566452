"""Auctions as they are looked at.

Whether a published auction is open follows from its times and PostgreSQL's clock.
"""

from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from market import rules
from market.errors import GeneralRefusal, Refusal
from market.pages import Page, list_page
from market.places.neighbourhoods import Radius
from market.rules import BuyNowUntil
from market.times import to_ms
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Condition,
    DeliveryMethod,
    Paddle,
    Role,
    User,
)


class AuctionState(StrEnum):
    """The state of an auction that a visitor sees."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LIVE = "live"
    CLOSING = "closing"
    """Past its end, not settled yet."""
    SOLD = "sold"
    UNSOLD = "unsold"
    CANCELLED = "cancelled"


StateFilter = Literal["scheduled", "live", "closed"]


class Addendum(msgspec.Struct, frozen=True):
    """A text that the seller has added to the description, and when (ms)."""

    at: int
    text: str


class AuctionView(msgspec.Struct, frozen=True):
    """An auction as everybody may see it. Amounts in minor units, times in ms. Without soft close its two times are 0
    and `latest_end` is the planned end. `price` is None before the first bid, `buy_now` when that is not on offer, or
    not any more. A draft takes its `increments` from the `increment_table` of this name, if it has one, and at its
    publishing once more; then they are its own. `reserve` is None for all but the seller,
    `cancel_reason` unless it was cancelled with one. `relisted_from` was not sold and is listed again by this one,
    `relisted_as` lists this one again (the last of them that was published). One that is `hidden` by moderators is only
    seen by those who take part in it and by moderators."""

    id: UUID
    seller_id: UUID
    seller_name: str
    kind: AuctionKind
    region_code: str | None
    radius: Radius | None
    state: AuctionState
    category: str
    condition: Condition | None
    deliveries: list[DeliveryMethod]
    title: str
    description: str
    addenda: list[Addendum]
    start_price: int
    increments: list[tuple[int, int]]
    increment_table: str | None
    opens_at: int
    ends_at: int
    latest_end: int
    soft_close_window_ms: int
    soft_close_extension_ms: int
    reserve: int | None
    reserve_met: bool
    buy_now: int | None
    buy_now_until: BuyNowUntil | None
    price: int | None
    leader_paddle: int | None
    next_minimum: int
    bids: int
    hammer_price: int | None
    winner_paddle: int | None
    cancel_reason: str | None
    relisted_from: UUID | None
    relisted_as: UUID | None
    created_at: int
    hidden: bool
    version: int


def locked(session: Session, auction_id: UUID) -> Auction:
    """The auction as it is now, which no other transaction can change before this one ends. Refuses with `not_found`.

    Not FOR UPDATE: that would also keep out everything that merely refers to the auction.
    """
    auction = session.get(Auction, auction_id, populate_existing=True, with_for_update={"key_share": True})
    if auction is None:
        raise not_found()
    return auction


def not_found() -> Refusal:
    """The refusal for an auction that does not exist, or not for this visitor."""
    return Refusal(GeneralRefusal.NOT_FOUND, "There is no such auction.")


def get(session: Session, auction_id: UUID, viewer_id: UUID | None = None) -> AuctionView:
    """An auction. Refuses with `not_found`, also for a draft unless `viewer_id` is its seller, and as
    `require_visible` does."""
    row = session.execute(_auctions().where(Auction.id == auction_id)).one_or_none()
    if row is None or (row.Auction.status == AuctionStatus.DRAFT and row.Auction.seller_id != viewer_id):
        raise not_found()
    require_visible(session, row.Auction, viewer_id)
    return _view(viewer_id, *row)


def published(session: Session, auction_id: UUID, viewer_id: UUID | None = None) -> Auction:
    """An auction that is no draft. Refuses with `not_found`, also as `require_visible` does."""
    auction = session.get(Auction, auction_id)
    if auction is None or auction.status == AuctionStatus.DRAFT:
        raise not_found()
    require_visible(session, auction, viewer_id)
    return auction


def require_visible(session: Session, auction: Auction, viewer_id: UUID | None) -> None:
    """Refuses with `not_found` if moderators have hidden it, unless the viewer sells it, has ever had a paddle in it,
    or is a moderator."""
    if auction.hidden_at is None or auction.seller_id == viewer_id:
        return
    takes_part = exists().where(Paddle.auction_id == auction.id, Paddle.bidder_id == viewer_id)
    moderates = exists().where(User.id == viewer_id, User.role != Role.USER)
    if not session.scalar(select(takes_part | moderates)):
        raise not_found()


def page(session: Session, seller_id: UUID, cursor: str | None, limit: int) -> Page[AuctionView]:
    """The auctions of a seller, drafts too, the last made first: for that seller. Refuses with `invalid_cursor`."""
    query = _auctions().where(Auction.seller_id == seller_id)
    return list_page(session, query, partial(_view, seller_id), Auction.id, cursor, limit)


def in_state(state: StateFilter) -> ColumnElement[bool]:
    published = Auction.status == AuctionStatus.PUBLISHED
    match state:
        case "scheduled":
            return and_(published, Auction.opens_at > func.now())
        case "live":
            return and_(published, Auction.opens_at <= func.now(), Auction.ends_at > func.now())
        case "closed":
            over = Auction.status.not_in([AuctionStatus.DRAFT, AuctionStatus.PUBLISHED])
            return or_(over, and_(published, Auction.ends_at <= func.now()))


def kind_of(session: Session, auction_id: UUID) -> AuctionKind:
    """What kind a published auction is of. Refuses with `not_found`."""
    kind = session.scalar(
        select(Auction.kind).where(Auction.id == auction_id, Auction.status != AuctionStatus.DRAFT)
    )
    if kind is None:
        raise not_found()
    return kind


def _auctions() -> Select[Auction, str, datetime, UUID]:
    again = aliased(Auction)
    relisted_as = (
        select(again.id)
        .where(
            again.relisted_from == Auction.id,
            again.status != AuctionStatus.DRAFT,
            again.hidden_at.is_(None),
        )
        .order_by(again.id.desc())
        .limit(1)
        .correlate(Auction)
        .scalar_subquery()
    )
    return select(Auction, User.display_name, func.now().label("now"), relisted_as.label("relisted_as")).join(
        User, User.id == Auction.seller_id
    )


def rules_state(auction: Auction) -> rules.BiddingState:
    """The auction as the rules see it, as far as it stands in its row: without paddles and answers."""
    lead = rules.Lead(str(auction.leader_id), auction.leader_paddle, auction.leader_maximum)
    return rules.BiddingState(
        epoch=auction.epoch,
        seller=str(auction.seller_id),
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        start_price=auction.start_price,
        steps=tuple(rules.IncrementStep(*step) for step in auction.increments),
        soft_close=rules.SoftCloseRule(
            auction.soft_close_window_ms, auction.soft_close_extension_ms, to_ms(auction.latest_end)
        ),
        reserve=auction.reserve or 0,
        buy_now_price=auction.buy_now_price or 0,
        buy_now_until=BuyNowUntil(auction.buy_now_until or BuyNowUntil.ALWAYS),
        seq=auction.seq,
        price=auction.price,
        lead=None if auction.leader_id is None else lead,
        bids=auction.bids,
    )


def _view(
    viewer_id: UUID | None, auction: Auction, seller_name: str, now: datetime, relisted_as: UUID | None
) -> AuctionView:
    known = rules_state(auction)
    state = state_of(auction, now)
    over = state not in (AuctionState.DRAFT, AuctionState.SCHEDULED, AuctionState.LIVE)
    has_bid = auction.leader_id is not None
    sold = auction.status == AuctionStatus.SOLD
    return AuctionView(
        id=auction.id,
        seller_id=auction.seller_id,
        seller_name=seller_name,
        kind=auction.kind,
        region_code=auction.region_code,
        radius=Radius(auction.radius) if auction.radius else None,
        state=state,
        category=auction.category_code,
        condition=auction.condition,
        deliveries=auction.deliveries,
        title=auction.title,
        description=auction.description,
        addenda=msgspec.convert(auction.addenda, list[Addendum]),
        start_price=auction.start_price,
        increments=steps(auction.increments),
        increment_table=auction.increment_table,
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        latest_end=to_ms(auction.latest_end),
        soft_close_window_ms=auction.soft_close_window_ms,
        soft_close_extension_ms=auction.soft_close_extension_ms,
        reserve=auction.reserve if auction.seller_id == viewer_id else None,
        reserve_met=rules.reserve_met(known),
        buy_now=None if over else rules.buy_now(known) or None,
        buy_now_until=BuyNowUntil(auction.buy_now_until) if auction.buy_now_until else None,
        price=auction.price if has_bid else None,
        leader_paddle=auction.leader_paddle if has_bid else None,
        next_minimum=rules.next_minimum(known),
        bids=auction.bids,
        hammer_price=auction.hammer_price if sold else None,
        winner_paddle=auction.leader_paddle if sold else None,
        cancel_reason=auction.cancel_reason if auction.status == AuctionStatus.CANCELLED else None,
        relisted_from=auction.relisted_from,
        relisted_as=relisted_as,
        created_at=to_ms(auction.created_at),
        hidden=auction.hidden_at is not None,
        version=auction.version,
    )


def state_of(auction: Auction, now: datetime) -> AuctionState:
    """The state that a visitor sees at `now`, of an auction as it is in its row."""
    match auction.status:
        case AuctionStatus.PUBLISHED if now < auction.opens_at:
            return AuctionState.SCHEDULED
        case AuctionStatus.PUBLISHED if now < auction.ends_at:
            return AuctionState.LIVE
        case AuctionStatus.PUBLISHED | AuctionStatus.SEALED:
            return AuctionState.CLOSING
        case decided:
            return AuctionState(decided)


def steps(increments: list[list[int]]) -> list[tuple[int, int]]:
    """A table of increments as the row has it, typed: from which price on, which amount."""
    return [(from_price, amount) for from_price, amount in increments]
