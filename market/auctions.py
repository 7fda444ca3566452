"""Live auctions: made and published by a seller, looked at by everybody, handed to the hot state.

Whether a published auction is open follows from its times and PostgreSQL's clock. While it runs, what stands here is
what write-back brought a second ago.
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

from market import accounts
from market.errors import Refusal
from market.pages import Page, bounded, decode_cursor, page_of
from market.rules import MAX_AMOUNT, Step, increment
from market.times import from_ms, to_ms
from store.hot import HotAuction, HotPaddle
from store.ids import new_id, shard_of
from store.models import Auction, AuctionStatus, Bid, LogPosition, Paddle, PaddleStatus, User

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
MAX_STEPS = 50
"""The script reads the whole table for every bid."""
MAX_DURATION_MS = 30 * 24 * 3600 * 1000
MAX_AHEAD_MS = 365 * 24 * 3600 * 1000
"""How far from now the end may be."""
MAX_SOFT_CLOSE_MS = 3600 * 1000
MAX_CAP_MS = 24 * 3600 * 1000


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


class Draft(msgspec.Struct, frozen=True):
    """An auction to be made. Amounts in minor units, times in ms. `increments` are (from price, increment), the first
    from 0. Without `opens_at` it opens now."""

    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]]
    opens_at: int | None
    ends_at: int
    soft_close: SoftClose | None = None


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
    and `latest_end` is the planned end. `price` is None before the first bid."""

    id: UUID
    seller_id: UUID
    seller_name: str
    kind: Literal["live"]
    state: AuctionState
    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]]
    opens_at: int
    ends_at: int
    latest_end: int
    soft_close_window_ms: int
    soft_close_extension_ms: int
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


def create(session: Session, seller_id: UUID, draft: Draft) -> AuctionView:
    """Make a draft. Refuses with `invalid_auction`, naming the `field`."""
    accounts.keep(session, seller_id)
    now = to_ms(_clock(session))
    opens_at = now if draft.opens_at is None else draft.opens_at
    _validate(draft, opens_at, now)
    soft = draft.soft_close or SoftClose(0, 0, 0)
    auction_id = new_id()
    session.add(
        Auction(
            id=auction_id,
            shard=shard_of(auction_id),
            seller_id=seller_id,
            title=draft.title,
            description=draft.description,
            start_price=draft.start_price,
            increments=[list(step) for step in draft.increments],
            opens_at=from_ms(opens_at),
            ends_at=from_ms(draft.ends_at),
            latest_end=from_ms(draft.ends_at + soft.cap_ms),
            soft_close_window_ms=soft.window_ms,
            soft_close_extension_ms=soft.extension_ms,
        )
    )
    session.flush()
    return get(session, auction_id, seller_id)


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
    }
    for field, valid in checks.items():
        if not valid:
            raise Refusal("invalid_auction", f"The auction is not possible like this: {field}.", field=field)


def publish(session: Session, seller_id: UUID, auction_id: UUID) -> AuctionView:
    """Show a draft to everybody and let paddles be taken. The caller loads it into the hot state after commit.

    Refuses with `email_not_verified`, `not_found`, `forbidden` (somebody else's), `wrong_state` (no draft any more) or
    `invalid_auction` (its end has passed).
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
    return _view(row)


def page(
    session: Session, state: StateFilter | None, cursor: str | None, limit: int, seller_id: UUID | None = None
) -> Page[AuctionView]:
    """Auctions, the last made first. `seller_id` asks for all of one seller, drafts too: for that seller only.

    Refuses with `invalid_cursor`.
    """
    query = _auctions().order_by(Auction.id.desc())
    query = query.where(
        Auction.status != AuctionStatus.DRAFT if seller_id is None else Auction.seller_id == seller_id
    )
    if state is not None:
        query = query.where(_in_state(state))
    if cursor is not None:
        query = query.where(Auction.id < decode_cursor(cursor, UUID))
    rows = session.execute(query.limit(bounded(limit) + 1))
    return page_of([_view(row) for row in rows], bounded(limit), lambda auction: auction.id)


def _in_state(state: StateFilter) -> ColumnElement[bool]:
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


def hot_state(session: Session, auction_id: UUID) -> HotAuction | None:
    """A published auction that is not sealed, to be loaded into Redis; None for any other.

    It has a fresh epoch: commit before loading, so that no epoch is used twice. What write-back has not brought yet
    is not in it: when the hot state was lost, drain the log of the shard first.
    """
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.PUBLISHED:
        return None
    auction.epoch += 1
    session.flush()
    paddles = session.execute(
        select(Paddle.bidder_id, Paddle.number, Paddle.limit, Paddle.version).where(
            Paddle.auction_id == auction_id, Paddle.status == PaddleStatus.ACTIVE
        )
    )
    return HotAuction(
        auction_id=auction_id,
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
        price=auction.price,
        leader=auction.leader_id,
        leader_paddle=auction.leader_paddle,
        leader_maximum=auction.leader_maximum,
        bids=auction.bids,
        log_position=session.scalar(select(LogPosition.position).where(LogPosition.shard == auction.shard))
        or "0-0",
        paddles=[HotPaddle(*row) for row in paddles],
    )


def to_load(session: Session) -> Sequence[UUID]:
    """The auctions that must have hot state: published and not sealed."""
    return session.scalars(
        select(Auction.id).where(Auction.status == AuctionStatus.PUBLISHED).order_by(Auction.ends_at)
    ).all()


def _clock(session: Session) -> datetime:
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()


def _auctions() -> Select[Auction, str, datetime]:
    return select(Auction, User.display_name, func.now().label("now")).join(
        User, User.id == Auction.seller_id
    )


def _view(row: Row[Auction, str, datetime]) -> AuctionView:
    auction, seller_name, now = row
    steps = _steps(auction.increments)
    has_bid = auction.leader_id is not None
    sold = auction.status == AuctionStatus.SOLD
    return AuctionView(
        id=auction.id,
        seller_id=auction.seller_id,
        seller_name=seller_name,
        kind="live",
        state=_state(auction, now),
        title=auction.title,
        description=auction.description,
        start_price=auction.start_price,
        increments=steps,
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        latest_end=to_ms(auction.latest_end),
        soft_close_window_ms=auction.soft_close_window_ms,
        soft_close_extension_ms=auction.soft_close_extension_ms,
        price=auction.price if has_bid else None,
        leader_paddle=auction.leader_paddle if has_bid else None,
        next_minimum=_next_minimum(auction),
        bids=auction.bids,
        hammer_price=auction.hammer_price if sold else None,
        winner_paddle=auction.leader_paddle if sold else None,
        created_at=to_ms(auction.created_at),
    )


def _state(auction: Auction, now: datetime) -> AuctionState:
    match auction.status:
        case AuctionStatus.PUBLISHED if now < auction.opens_at:
            return AuctionState.SCHEDULED
        case AuctionStatus.PUBLISHED if now < auction.ends_at:
            return AuctionState.LIVE
        case AuctionStatus.PUBLISHED | AuctionStatus.SEALED:
            return AuctionState.CLOSING
        case decided:
            return AuctionState(decided)


def _next_minimum(auction: Auction) -> int:
    """As in `market.rules.next_minimum`."""
    if auction.leader_id is None:
        return auction.start_price
    steps = tuple(Step(*step) for step in auction.increments)
    return min(auction.price + increment(steps, auction.price), MAX_AMOUNT)


def _steps(increments: list[list[int]]) -> list[tuple[int, int]]:
    return [(from_price, amount) for from_price, amount in increments]
