"""Bids in a database session, and what else changes an auction."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.bidding import neighbourhood, paddles
from market.errors import Refusal
from market.listings.auction_views import AuctionView
from store.ids import new_id
from store.models import AccountKind, Auction, LedgerAccount
from store.redis.records import BidRecord
from tests.support.factories import make_published_auction, make_user


def take_paddle(session: Session, bidder: UUID, seller: UUID | None = None) -> UUID:
    """A paddle in a new auction."""
    auction = make_published_auction(session, seller).id
    paddles.take(session, bidder, auction, 1_000)
    return auction


def bid(
    session: Session, bidder: UUID, auction: AuctionView, maximum: int | None, ref: str = ""
) -> BidRecord:
    return neighbourhood.place(session, bidder, auction.id, ref or str(new_id()), maximum)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as error:
        call()
    return error.value.code


def balances(session: Session, user_id: UUID) -> tuple[int, int]:
    """Available and held."""
    rows = dict(
        session.execute(
            select(LedgerAccount.kind, LedgerAccount.balance).where(LedgerAccount.owner_id == user_id)
        ).all()
    )
    return rows.get(AccountKind.AVAILABLE, 0), rows.get(AccountKind.HELD, 0)


def end(session: Session, auction: AuctionView) -> None:
    """Let the end of the auction come."""
    session.execute(
        update(Auction)
        .where(Auction.id == auction.id)
        .values(opens_at=func.now() - timedelta(hours=2), ends_at=func.now() - timedelta(seconds=1))
    )
    session.expire_all()


def change(session: Session, auction_id: UUID, **values: Any) -> None:
    """Write what write-back or settlement would write."""
    auction = session.get_one(Auction, auction_id)
    for name, value in values.items():
        setattr(auction, name, value)
    session.flush()


def lead(session: Session, auction_id: UUID, price: int = 1_000, bidder: UUID | None = None) -> None:
    change(
        session,
        auction_id,
        price=price,
        leader_id=bidder or make_user(session),
        leader_paddle=1,
        leader_maximum=price + 5_000,
        bids=1,
        seq=1,
    )
