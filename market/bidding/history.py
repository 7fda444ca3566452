"""The bids of an auction as everybody sees them, and a bidder's own."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from math import ceil
from typing import Annotated
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Row, cast, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from market.listings import auction_views
from market.listings.auction_views import AuctionState, state_of
from market.pages import Page, decode_cursor, page_of, window
from market.rules import MAX_AMOUNT
from market.times import to_ms
from store.models import (
    Auction,
    AuctionKind,
    Bid,
)

MAX_POINTS = 200
"""Of the history of a price."""


class _BidPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a bid stands among those of its auction."""

    epoch: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
    seq: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]


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


class BidderStanding(StrEnum):
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
    standing: BidderStanding
    own_maximum: int
    price: int
    ends_at: int


def bids(session: Session, auction_id: UUID, cursor: str | None, limit: int) -> Page[BidView]:
    """The accepted bids of an auction, newest first. Refuses with `not_found` or `invalid_cursor`."""
    auction_views.published(session, auction_id)
    query = select(Bid.seq, Bid.epoch, Bid.paddle, Bid.price, Bid.at).where(Bid.auction_id == auction_id)
    last = None if cursor is None else msgspec.structs.astuple(decode_cursor(cursor, _BidPosition))
    rows = session.execute(window(query, [Bid.epoch, Bid.seq], last, limit))
    views = [BidView(seq, epoch, paddle, price, to_ms(at)) for seq, epoch, paddle, price, at in rows]
    return page_of(views, limit, lambda bid: _BidPosition(bid.epoch, bid.seq))


def prices(session: Session, auction_id: UUID) -> Prices:
    """The price after the bids of an auction: at most `MAX_POINTS`, evenly chosen by their numbers, always with the
    first and the last. However many bids there are, PostgreSQL reads those alone.

    Refuses with `not_found`.
    """
    auction_views.published(session, auction_id)
    spans = _spans(session, auction_id)
    if not spans:
        return Prices([])
    first, last = spans[0].first, spans[-1].last
    # The least with which they are not too many, the last one included.
    step = max(ceil((last - first) / (MAX_POINTS - 1)), 1)
    numbers = [*range(first, last, step), last]
    chosen = [(span.epoch, n) for span in spans for n in numbers if span.first <= n <= span.last]
    wanted = func.unnest(*(cast(column, ARRAY(BigInteger)) for column in zip(*chosen, strict=True)))
    place = wanted.table_valued("epoch", "seq").render_derived()
    # The limit makes PostgreSQL look each one up: else it may prefer to read all bids of the auction.
    bid = (
        select(Bid.at, Bid.price)
        .where(Bid.auction_id == auction_id, Bid.epoch == place.c.epoch, Bid.seq == place.c.seq)
        .limit(1)
        .lateral()
    )
    found = session.execute(select(bid.c.at, bid.c.price).join_from(place, bid, true()).order_by(place.c.seq))
    return Prices([PricePoint(to_ms(at), price) for at, price in found])


def _spans(session: Session, auction_id: UUID) -> Sequence[Row[int, int, int]]:
    """The epochs in which an auction got bids, in their order, each with its first and last number. Numbers go on over
    epochs. The index is asked for one epoch after the other."""
    epochs = (
        select(func.min(Bid.epoch).label("epoch")).where(Bid.auction_id == auction_id).cte(recursive=True)
    )
    after = select(func.min(Bid.epoch)).where(Bid.auction_id == auction_id, Bid.epoch > epochs.c.epoch)
    epochs = epochs.union_all(select(after.scalar_subquery()).where(epochs.c.epoch.is_not(None)))
    within = [Bid.auction_id == auction_id, Bid.epoch == epochs.c.epoch]
    return session.execute(
        select(
            epochs.c.epoch,
            select(func.min(Bid.seq)).where(*within).scalar_subquery().label("first"),
            select(func.max(Bid.seq)).where(*within).scalar_subquery().label("last"),
        )
        .where(epochs.c.epoch.is_not(None))
        .order_by(epochs.c.epoch)
    ).all()


def own_bids(session: Session, bidder_id: UUID, cursor: str | None, limit: int) -> Page[OwnBid]:
    """The auctions that a user has bid in, the last made first. Refuses with `invalid_cursor`."""
    own = select(Bid.auction_id, func.max(Bid.maximum).label("maximum")).where(Bid.bidder_id == bidder_id)
    last = None if cursor is None else [decode_cursor(cursor, UUID)]
    newest = window(own.group_by(Bid.auction_id), [Bid.auction_id], last, limit).subquery()
    rows = session.execute(
        select(Auction, newest.c.maximum, func.now().label("now"))
        .join(newest, newest.c.auction_id == Auction.id)
        .order_by(Auction.id.desc())
    )
    views = [_own_bid(auction, bidder_id, maximum, now) for auction, maximum, now in rows]
    return page_of(views, limit, lambda bid: bid.auction_id)


def _own_bid(auction: Auction, bidder_id: UUID, maximum: int, now: datetime) -> OwnBid:
    state = state_of(auction, now)
    leads = auction.leader_id == bidder_id
    if state in (AuctionState.SOLD, AuctionState.UNSOLD, AuctionState.CANCELLED):
        standing = BidderStanding.WON if leads and state == AuctionState.SOLD else BidderStanding.LOST
    else:
        standing = BidderStanding.LEADING if leads else BidderStanding.OUTBID
    return OwnBid(
        auction_id=auction.id,
        title=auction.title,
        kind=auction.kind,
        state=state,
        standing=standing,
        own_maximum=maximum,
        price=auction.price,
        ends_at=to_ms(auction.ends_at),
    )
