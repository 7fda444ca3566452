"""Auctions as Redis gets them.

While a live one runs, what stands in PostgreSQL is what write-back brought a second ago.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from market.bidding import write_back
from market.listings import auction_views
from market.rules import BuyNowUntil
from market.times import to_ms
from store import effects
from store.database import any_id
from store.effects import LoadAuction
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Extension,
    Paddle,
    PaddleStatus,
)
from store.redis.auctions import HotAuction, HotPaddle

_RUNNING = (Auction.status == AuctionStatus.PUBLISHED, Auction.kind == AuctionKind.LIVE)


def hot_states(session: Session, auction_ids: Collection[UUID]) -> list[HotAuction]:
    """Those of the auctions that are live, published and not sealed, to be loaded into Redis.

    Each has a fresh epoch: commit before loading, so that no epoch is used twice. What write-back has not brought yet
    is not in them: when hot state was lost, drain the logs first.
    """
    found = session.scalars(
        select(Auction)
        .where(Auction.id == any_id(auction_ids), *_RUNNING)
        .order_by(Auction.id)
        .with_for_update(key_share=True),
        execution_options={"populate_existing": True},
    ).all()
    ids = any_id([auction.id for auction in found])
    session.execute(update(Auction).where(Auction.id == ids).values(epoch=Auction.epoch + 1))
    paddles: defaultdict[UUID, list[HotPaddle]] = defaultdict(list)
    for row in session.execute(
        select(Paddle.auction_id, Paddle.bidder_id, Paddle.number, Paddle.limit, Paddle.version).where(
            Paddle.auction_id == ids, Paddle.status == PaddleStatus.ACTIVE
        )
    ):
        paddles[row.auction_id].append(HotPaddle(row.bidder_id, row.number, row.limit, row.version))
    actions: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for auction_id, action_id in session.execute(
        select(Extension.auction_id, Extension.action_id).where(Extension.auction_id == ids)
    ):
        actions[auction_id].append(action_id)
    positions = write_back.positions(session)
    return [
        hot_auction(auction, paddles[auction.id], positions[auction.shard], actions[auction.id])
        for auction in found
    ]


def hot_state(session: Session, auction_id: UUID) -> HotAuction | None:
    """The one of `hot_states`; None for an auction that is not to be loaded."""
    return next(iter(hot_states(session, [auction_id])), None)


def load(session: Session, auction_id: UUID) -> None:
    """Have a live auction loaded into Redis after the commit."""
    state = hot_state(session, auction_id)
    if state is not None:
        effects.after_commit(session, LoadAuction(state))


def hot_auction(
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
        steps=auction_views.steps(auction.increments),
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
    return session.scalars(select(Auction.id).where(*_RUNNING).order_by(Auction.ends_at)).all()
