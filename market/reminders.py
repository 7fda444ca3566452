"""Telling those who are interested that an auction has opened, or ends soon: who watches it, and who has a paddle.

They may be many, so each transaction tells some of them, and none locks the auction. After a crash it begins anew: who
was told is not told again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from market import notifications
from market.notifications import News, Value
from market.times import to_ms
from store.models import Auction, AuctionStatus, Event, Paddle, PaddleStatus, Watch

BEFORE_END = timedelta(minutes=10)

BATCH = 1_000
"""Auctions in a run, and users in a transaction."""

Reminder = Literal[Event.OPENED, Event.ENDING_SOON]


def due(session: Session, event: Reminder) -> Sequence[UUID]:
    """The auctions of which this is to be told now, by PostgreSQL's clock."""
    if event == Event.OPENED:
        time, is_time = Auction.opens_at, Auction.opens_at <= func.now()
    else:
        time, is_time = Auction.ends_at, Auction.ends_at <= func.now() + BEFORE_END
    waiting = select(Auction.id).where(Auction.status == AuctionStatus.PUBLISHED, ~_told(event), is_time)
    return session.scalars(waiting.order_by(time).limit(BATCH)).all()


def remind(session: Session, auction_id: UUID, event: Reminder, after: UUID | None) -> UUID | None:
    """Tell the next who are interested, in the order of their ids behind `after`. The last of them; None, and the
    auction is noted as told, when there are no more."""
    watching = select(Watch.user_id).where(Watch.auction_id == auction_id)
    bidding = select(Paddle.bidder_id).where(
        Paddle.auction_id == auction_id, Paddle.status != PaddleStatus.RETURNED
    )
    interested = watching.union(bidding).subquery()
    user_id: ColumnElement[UUID] = interested.c[0]
    query = select(user_id).order_by(user_id).limit(BATCH)
    users = session.scalars(query if after is None else query.where(user_id > after)).all()
    auction = session.get_one(Auction, auction_id)
    data: dict[str, Value] = {
        "title": auction.title,
        "price": auction.price or auction.start_price,
        "ends_at": to_ms(auction.ends_at),
    }
    notifications.notify(session, [News(user, event, str(auction_id), data, auction_id) for user in users])
    if len(users) == BATCH:
        return users[-1]
    session.execute(
        update(Auction).where(Auction.id == auction_id).values({_told(event): True}),
        execution_options={"synchronize_session": False},
    )
    return None


def _told(event: Reminder) -> ColumnElement[bool]:
    return Auction.opened_told.expression if event == Event.OPENED else Auction.ending_told.expression
