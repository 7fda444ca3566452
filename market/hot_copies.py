"""Auctions as Redis gets them.

While a live one runs, what stands in PostgreSQL is what write-back brought a second ago.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from market import auctions
from market.auctions import locked
from market.rules import BuyNowUntil
from market.times import to_ms
from store.hot import HotAuction, HotPaddle
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Extension,
    LogPosition,
    Paddle,
    PaddleStatus,
)


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
    actions = session.scalars(select(Extension.action_id).where(Extension.auction_id == auction_id)).all()
    return hot_copy(auction, [HotPaddle(*row) for row in paddles], position or "0-0", actions)


def hot_copy(
    auction: Auction,
    paddles: Sequence[HotPaddle],
    log_position: str = "0-0",
    extended_by: Sequence[UUID] = (),
) -> HotAuction:
    """The auction, as it stands in its row, for Redis."""
    return HotAuction(
        auction_id=auction.id,
        epoch=auction.epoch,
        seq=auction.seq,
        seller=auction.seller_id,
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.ends_at),
        start_price=auction.start_price,
        steps=auctions.steps(auction.increments),
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
        extended_by=extended_by,
    )


def to_load(session: Session) -> Sequence[UUID]:
    """The auctions that must have hot state: live ones, published and not sealed."""
    return session.scalars(
        select(Auction.id)
        .where(Auction.status == AuctionStatus.PUBLISHED, Auction.kind == AuctionKind.LIVE)
        .order_by(Auction.ends_at)
    ).all()
