"""Auctions: made and published by a seller, looked at by everybody, handed to the hot state.

Whether a published auction is open follows from its times and PostgreSQL's clock. While a live one runs, what stands
here is what write-back brought a second ago.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, DateTime, Row, Select, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from market import accounts, categories, neighbourhoods, rules, words
from market.errors import Refusal
from market.neighbourhoods import Radius
from market.pages import Page, bounded, decode_cursor, page_of
from market.rules import MAX_AMOUNT, BuyNowUntil
from market.times import from_ms, to_ms
from store.hot import HotAuction, HotPaddle
from store.ids import new_id, shard_of
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Bid,
    Condition,
    LogPosition,
    Paddle,
    PaddleStatus,
    User,
)

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
MAX_STEPS = 50
"""The script reads the whole table for every bid."""
MAX_DURATION_MS = 30 * 24 * 3600 * 1000
MAX_AHEAD_MS = 365 * 24 * 3600 * 1000
"""How far from now the end may be."""
MAX_SOFT_CLOSE_MS = 3600 * 1000
MAX_CAP_MS = 24 * 3600 * 1000
MAX_POINTS = 200
"""Of the history of a price."""


class _Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a bid stands among those of its auction."""

    epoch: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]


class SoftClose(msgspec.Struct, frozen=True):
    """A bid within `window_ms` of the end moves the end to `extension_ms` after the bid, at most `cap_ms` past the
    end that was planned."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class Place(msgspec.Struct, frozen=True):
    """Among which neighbours an auction is held: a neighbourhood of the seller, and how far around it."""

    neighbourhood_id: UUID
    radius: Radius


class Draft(msgspec.Struct, frozen=True):
    """An auction to be made. Amounts in minor units, times in ms. `increments` are (from price, increment), the first
    from 0. Without `opens_at` it opens now. `reserve` and `buy_now` are above the start price, `buy_now` not below the
    reserve; `buy_now_until` belongs to it. With a `place` it is a neighbourhood auction. `category` is the code of a
    leaf."""

    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]]
    opens_at: int | None
    ends_at: int
    soft_close: SoftClose | None = None
    reserve: int | None = None
    buy_now: int | None = None
    buy_now_until: BuyNowUntil | None = None
    place: Place | None = None
    category: str = categories.OTHER
    condition: Condition | None = None


class AuctionState(StrEnum):
    """What a visitor is told about an auction."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    LIVE = "live"
    CLOSING = "closing"
    """Past its end, not settled yet."""
    SOLD = "sold"
    UNSOLD = "unsold"


StateFilter = Literal["scheduled", "live", "closed"]


class AuctionView(msgspec.Struct, frozen=True):
    """An auction as everybody may see it. Amounts in minor units, times in ms. Without soft close its two times are 0
    and `latest_end` is the planned end. `price` is None before the first bid, `buy_now` when that is not on offer, or
    not any more. `reserve` is None for all but the seller."""

    id: UUID
    seller_id: UUID
    seller_name: str
    kind: AuctionKind
    region_code: str | None
    radius: Radius | None
    state: AuctionState
    category: str
    condition: Condition | None
    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]]
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
    created_at: int


class BidView(msgspec.Struct, frozen=True):
    """An accepted bid as everybody may see it: who bid by paddle number, and the price after it. `at` in ms."""

    seq: int
    epoch: int
    paddle: int
    price: int
    at: int


class PricePoint(msgspec.Struct, frozen=True):
    """The price after a bid at `at` (ms)."""

    at: int
    price: int


class Prices(msgspec.Struct, frozen=True):
    """How the price of an auction has risen, for a chart."""

    items: list[PricePoint]


class Standing(StrEnum):
    """How a bidder stands in an auction."""

    LEADING = "leading"
    OUTBID = "outbid"
    WON = "won"
    LOST = "lost"


class OwnBid(msgspec.Struct, frozen=True):
    """An auction as somebody sees it who has bid in it, and `price` is the price now. Of a live auction it is about a
    second old."""

    auction_id: UUID
    title: str
    kind: AuctionKind
    state: AuctionState
    standing: Standing
    own_maximum: int
    price: int
    ends_at: int


def create(session: Session, seller_id: UUID, draft: Draft) -> AuctionView:
    """Make a draft. Refuses with `invalid_auction`, naming the `field`, or with `not_a_neighbour`."""
    accounts.keep(session, seller_id)
    now = to_ms(_clock(session))
    opens_at = now if draft.opens_at is None else draft.opens_at
    _validate(draft, opens_at, now)
    if not categories.is_leaf(session, draft.category):
        raise _impossible("category")
    soft = draft.soft_close or SoftClose(0, 0, 0)
    place = draft.place
    region_code, cell = (None, None)
    if place is not None:
        region_code, cell = neighbourhoods.place_of(session, seller_id, place.neighbourhood_id)
    auction_id = new_id()
    session.add(
        Auction(
            id=auction_id,
            shard=shard_of(auction_id),
            seller_id=seller_id,
            kind=AuctionKind.LIVE if place is None else AuctionKind.NEIGHBOURHOOD,
            region_code=region_code,
            cell=cell,
            radius=None if place is None else place.radius,
            category_code=draft.category,
            condition=draft.condition,
            title=draft.title,
            description=draft.description,
            start_price=draft.start_price,
            increments=[list(step) for step in draft.increments],
            opens_at=from_ms(opens_at),
            ends_at=from_ms(draft.ends_at),
            latest_end=from_ms(draft.ends_at + soft.cap_ms),
            soft_close_window_ms=soft.window_ms,
            soft_close_extension_ms=soft.extension_ms,
            reserve=draft.reserve,
            buy_now_price=draft.buy_now,
            buy_now_until=draft.buy_now_until,
        )
    )
    session.flush()
    words.remember(session, auction_id, draft.title, draft.description)
    return get(session, auction_id, seller_id)


def _impossible(field: str) -> Refusal:
    return Refusal("invalid_auction", f"The auction is not possible like this: {field}.", field=field)


def _validate(draft: Draft, opens_at: int, now: int) -> None:
    starts = [start for start, _ in draft.increments]
    soft = draft.soft_close
    checks = {
        "title": draft.title.strip() != "" and len(draft.title) <= MAX_TITLE and "\0" not in draft.title,
        "description": len(draft.description) <= MAX_DESCRIPTION and "\0" not in draft.description,
        "start_price": 1 <= draft.start_price <= MAX_AMOUNT,
        "increments": 1 <= len(starts) <= MAX_STEPS
        and starts[0] == 0
        and all(lower < upper for lower, upper in pairwise(starts))
        and starts[-1] <= MAX_AMOUNT
        and all(1 <= amount <= MAX_AMOUNT for _, amount in draft.increments),
        "ends_at": now < draft.ends_at <= now + MAX_AHEAD_MS,
        "opens_at": draft.ends_at - MAX_DURATION_MS <= opens_at < draft.ends_at,
        "soft_close": soft is None
        or (
            1 <= soft.window_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.extension_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.cap_ms <= MAX_CAP_MS
        ),
        "reserve": draft.reserve is None or draft.start_price < draft.reserve <= MAX_AMOUNT,
        "buy_now": draft.buy_now is None
        or (draft.start_price < draft.buy_now < MAX_AMOUNT and draft.buy_now >= (draft.reserve or 0)),
        "buy_now_until": (draft.buy_now_until is None) == (draft.buy_now is None)
        and (draft.buy_now_until != BuyNowUntil.RESERVE_MET or draft.reserve is not None),
    }
    for field, valid in checks.items():
        if not valid:
            raise _impossible(field)


def publish(session: Session, seller_id: UUID, auction_id: UUID) -> AuctionView:
    """Show a draft to everybody and let it be bid on. The caller tells Redis after the commit.

    Refuses with `email_not_verified`, `not_found`, `forbidden` (somebody else's), `wrong_state` (no draft any more),
    `invalid_auction` (its end has passed) or `not_a_neighbour` (the seller is no neighbour there any more).
    """
    accounts.keep(session, seller_id)
    accounts.require_verified(session, seller_id)
    auction = locked(session, auction_id)
    if auction.seller_id != seller_id:
        raise Refusal("forbidden", "Only its seller may publish an auction.")
    if auction.status != AuctionStatus.DRAFT:
        raise Refusal("wrong_state", "The auction was published already.")
    now = _clock(session)
    if auction.ends_at <= now:
        raise Refusal("invalid_auction", "The end of the auction has passed.", field="ends_at")
    if auction.kind == AuctionKind.NEIGHBOURHOOD:
        if auction.cell not in neighbourhoods.cells_of(session, seller_id):
            raise Refusal("not_a_neighbour", "Verify your neighbourhood again before you publish there.")
        auction.epoch = 1
    auction.status = AuctionStatus.PUBLISHED
    auction.published_at = now
    session.flush()
    return get(session, auction_id, seller_id)


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
    return Refusal("not_found", "There is no such auction.")


def get(session: Session, auction_id: UUID, viewer_id: UUID | None = None) -> AuctionView:
    """An auction. Refuses with `not_found`, also for a draft unless `viewer_id` is its seller."""
    row = session.execute(_auctions().where(Auction.id == auction_id)).one_or_none()
    if row is None or (row.Auction.status == AuctionStatus.DRAFT and row.Auction.seller_id != viewer_id):
        raise not_found()
    return _view(row, viewer_id)


def page(session: Session, seller_id: UUID, cursor: str | None, limit: int) -> Page[AuctionView]:
    """The auctions of a seller, drafts too, the last made first: for that seller. Refuses with `invalid_cursor`."""
    query = _auctions().where(Auction.seller_id == seller_id).order_by(Auction.id.desc())
    if cursor is not None:
        query = query.where(Auction.id < decode_cursor(cursor, UUID))
    rows = session.execute(query.limit(bounded(limit) + 1))
    return page_of([_view(row, seller_id) for row in rows], bounded(limit), lambda auction: auction.id)


def in_state(state: StateFilter) -> ColumnElement[bool]:
    published = Auction.status == AuctionStatus.PUBLISHED
    match state:
        case "scheduled":
            return and_(published, Auction.opens_at > func.now())
        case "live":
            return and_(published, Auction.opens_at <= func.now(), Auction.ends_at > func.now())
        case "closed":
            over = Auction.status.in_([AuctionStatus.SEALED, AuctionStatus.SOLD, AuctionStatus.UNSOLD])
            return or_(over, and_(published, Auction.ends_at <= func.now()))


def bids(session: Session, auction_id: UUID, cursor: str | None, limit: int) -> Page[BidView]:
    """The accepted bids of an auction, newest first. Refuses with `not_found` or `invalid_cursor`."""
    get(session, auction_id)
    query = select(Bid.seq, Bid.epoch, Bid.paddle, Bid.price, Bid.at).where(Bid.auction_id == auction_id)
    if cursor is not None:
        last = decode_cursor(cursor, _Position)
        query = query.where(tuple_(Bid.epoch, Bid.seq) < (last.epoch, last.seq))
    rows = session.execute(query.order_by(Bid.epoch.desc(), Bid.seq.desc()).limit(bounded(limit) + 1))
    views = [BidView(seq, epoch, paddle, price, to_ms(at)) for seq, epoch, paddle, price, at in rows]
    return page_of(views, bounded(limit), lambda bid: _Position(bid.epoch, bid.seq))


def prices(session: Session, auction_id: UUID) -> Prices:
    """The price after the bids of an auction: at most `MAX_POINTS`, evenly chosen, always with the first and the last.

    Refuses with `not_found`.
    """
    get(session, auction_id)
    order = (Bid.epoch, Bid.seq)
    numbered = (
        select(
            Bid.at,
            Bid.price,
            func.row_number().over(order_by=order).label("number"),
            func.count().over().label("total"),
        )
        .where(Bid.auction_id == auction_id)
        .subquery()
    )
    row = numbered.c
    # The least with which they are not too many, the last one included.
    step = func.greatest((row.total + MAX_POINTS - 3) // (MAX_POINTS - 1), 1)
    chosen = or_((row.number - 1) % step == 0, row.number == row.total)
    found = session.execute(select(row.at, row.price).where(chosen).order_by(row.number))
    return Prices([PricePoint(to_ms(at), price) for at, price in found])


def own_bids(session: Session, bidder_id: UUID, cursor: str | None, limit: int) -> Page[OwnBid]:
    """The auctions that a user has bid in, the last made first. Refuses with `invalid_cursor`."""
    own = select(Bid.auction_id, func.max(Bid.maximum).label("maximum")).where(Bid.bidder_id == bidder_id)
    if cursor is not None:
        own = own.where(Bid.auction_id < decode_cursor(cursor, UUID))
    newest = own.group_by(Bid.auction_id).order_by(Bid.auction_id.desc()).limit(bounded(limit) + 1).subquery()
    rows = session.execute(
        select(Auction, newest.c.maximum, func.now().label("now"))
        .join(newest, newest.c.auction_id == Auction.id)
        .order_by(Auction.id.desc())
    )
    views = [_own_bid(auction, bidder_id, maximum, now) for auction, maximum, now in rows]
    return page_of(views, bounded(limit), lambda bid: bid.auction_id)


def _own_bid(auction: Auction, bidder_id: UUID, maximum: int, now: datetime) -> OwnBid:
    state = state_of(auction, now)
    leads = auction.leader_id == bidder_id
    if state in (AuctionState.SOLD, AuctionState.UNSOLD):
        standing = Standing.WON if leads and state == AuctionState.SOLD else Standing.LOST
    else:
        standing = Standing.LEADING if leads else Standing.OUTBID
    return OwnBid(
        auction_id=auction.id,
        title=auction.title,
        kind=AuctionKind(auction.kind),
        state=state,
        standing=standing,
        own_maximum=maximum,
        price=auction.price,
        ends_at=to_ms(auction.ends_at),
    )


def kind_of(session: Session, auction_id: UUID) -> AuctionKind:
    """What kind a published auction is of. Refuses with `not_found`."""
    kind = session.scalar(
        select(Auction.kind).where(Auction.id == auction_id, Auction.status != AuctionStatus.DRAFT)
    )
    if kind is None:
        raise not_found()
    return AuctionKind(kind)


def hot_state(session: Session, auction_id: UUID) -> HotAuction | None:
    """A published live auction that is not sealed, to be loaded into Redis; None for any other.

    It has a fresh epoch: commit before loading, so that no epoch is used twice. What write-back has not brought yet
    is not in it: when the hot state was lost, drain the log of the shard first.
    """
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.PUBLISHED or auction.kind != AuctionKind.LIVE:
        return None
    auction.epoch += 1
    session.flush()
    paddles = session.execute(
        select(Paddle.bidder_id, Paddle.number, Paddle.limit, Paddle.version).where(
            Paddle.auction_id == auction_id, Paddle.status == PaddleStatus.ACTIVE
        )
    )
    position = session.scalar(select(LogPosition.position).where(LogPosition.shard == auction.shard))
    return hot_copy(auction, [HotPaddle(*row) for row in paddles], position or "0-0")


def hot_copy(auction: Auction, paddles: Sequence[HotPaddle], log_position: str = "0-0") -> HotAuction:
    """The auction, as it stands in its row, for Redis."""
    return HotAuction(
        auction_id=auction.id,
        epoch=auction.epoch,
        seq=auction.seq,
        seller=auction.seller_id,
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        start_price=auction.start_price,
        steps=_steps(auction.increments),
        window_ms=auction.soft_close_window_ms,
        extension_ms=auction.soft_close_extension_ms,
        latest_end=to_ms(auction.latest_end),
        reserve=auction.reserve or 0,
        buy_now_price=auction.buy_now_price or 0,
        buy_now_until=auction.buy_now_until or BuyNowUntil.ALWAYS,
        price=auction.price,
        leader=auction.leader_id,
        leader_paddle=auction.leader_paddle,
        leader_maximum=auction.leader_maximum,
        bids=auction.bids,
        log_position=log_position,
        paddles=paddles,
    )


def to_load(session: Session) -> Sequence[UUID]:
    """The auctions that must have hot state: live ones, published and not sealed."""
    return session.scalars(
        select(Auction.id)
        .where(Auction.status == AuctionStatus.PUBLISHED, Auction.kind == AuctionKind.LIVE)
        .order_by(Auction.ends_at)
    ).all()


def _clock(session: Session) -> datetime:
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def _auctions() -> Select[Auction, str, datetime]:
    return select(Auction, User.display_name, func.now().label("now")).join(
        User, User.id == Auction.seller_id
    )


def rules_state(auction: Auction) -> rules.State:
    """The auction as the rules see it, as far as it stands in its row: without paddles and answers."""
    lead = rules.Lead(str(auction.leader_id), auction.leader_paddle, auction.leader_maximum)
    return rules.State(
        epoch=auction.epoch,
        seller=str(auction.seller_id),
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        start_price=auction.start_price,
        steps=tuple(rules.Step(*step) for step in auction.increments),
        soft_close=rules.SoftClose(
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


def _view(row: Row[Auction, str, datetime], viewer_id: UUID | None) -> AuctionView:
    auction, seller_name, now = row
    known = rules_state(auction)
    state = state_of(auction, now)
    over = state not in (AuctionState.DRAFT, AuctionState.SCHEDULED, AuctionState.LIVE)
    has_bid = auction.leader_id is not None
    sold = auction.status == AuctionStatus.SOLD
    return AuctionView(
        id=auction.id,
        seller_id=auction.seller_id,
        seller_name=seller_name,
        kind=AuctionKind(auction.kind),
        region_code=auction.region_code,
        radius=Radius(auction.radius) if auction.radius else None,
        state=state,
        category=auction.category_code,
        condition=Condition(auction.condition) if auction.condition else None,
        title=auction.title,
        description=auction.description,
        start_price=auction.start_price,
        increments=_steps(auction.increments),
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
        created_at=to_ms(auction.created_at),
    )


def state_of(auction: Auction, now: datetime) -> AuctionState:
    """What a visitor is told at `now` about an auction, as it stands in its row."""
    match auction.status:
        case AuctionStatus.PUBLISHED if now < auction.opens_at:
            return AuctionState.SCHEDULED
        case AuctionStatus.PUBLISHED if now < auction.ends_at:
            return AuctionState.LIVE
        case AuctionStatus.PUBLISHED | AuctionStatus.SEALED:
            return AuctionState.CLOSING
        case decided:
            return AuctionState(decided)


def _steps(increments: list[list[int]]) -> list[tuple[int, int]]:
    return [(from_price, amount) for from_price, amount in increments]
