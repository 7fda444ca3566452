"""Telling those who are interested that an auction has opened, or ends soon: who watches it, and who has a paddle.

None of it locks the auction before its last transaction.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from market.notifications import News, Value
from market.tellings import reachable, tell_next
from market.times import to_ms
from store.models import Auction, AuctionStatus, Event, Paddle, PaddleStatus, User, Watch

BEFORE_END = timedelta(minutes=10)

AGAIN_AFTER = timedelta(hours=1)
"""An end that was told is told again if it has moved by more, as after an outage; late bids move it by minutes."""

BATCH = 1_000
"""Auctions in a run."""

Reminder = Literal[Event.OPENED, Event.ENDING_SOON]


def due(session: Session, event: Reminder) -> Sequence[UUID]:
    """The auctions of which this is to be told now, by PostgreSQL's clock."""
    time = Auction.opens_at if event == Event.OPENED else Auction.ends_at
    return session.scalars(select(Auction.id).where(_is_due(event)).order_by(time).limit(BATCH)).all()


def _is_due(event: Reminder) -> ColumnElement[bool]:
    """It is time for it, and the auction is not over."""
    running = (Auction.status == AuctionStatus.PUBLISHED) & (Auction.ends_at > func.now())
    if event == Event.OPENED:
        return running & ~Auction.opened_told & (Auction.opens_at <= func.now())
    untold = or_(Auction.ending_told_for.is_(None), Auction.ends_at > Auction.ending_told_for + AGAIN_AFTER)
    return running & untold & (Auction.ends_at <= func.now() + BEFORE_END)


def remind(session: Session, auction_id: UUID, event: Reminder) -> bool:
    """Tell the next who are interested, if it still is to be told. Whether there are more; when not, the auction is
    noted as told."""
    auction = session.scalar(select(Auction).where(Auction.id == auction_id, _is_due(event)))
    if auction is None:
        return False
    watching = select(Watch.user_id).where(Watch.auction_id == auction_id)
    bidding = select(Paddle.bidder_id).where(
        Paddle.auction_id == auction_id, Paddle.status != PaddleStatus.RETURNED
    )
    # Of what is hidden only those hear who take part.
    interested = watching.union(bidding) if auction.hidden_at is None else bidding
    data: dict[str, Value] = {
        "title": auction.title,
        "price": auction.price or auction.start_price,
        "ends_at": to_ms(auction.ends_at),
    }
    cause = str(auction_id)
    if event == Event.ENDING_SOON and auction.ending_told_for is not None:
        cause += f":{to_ms(auction.ending_told_for)}"
    more = tell_next(
        session,
        f"{event}:{cause}",
        select(User.id).where(User.id.in_(interested), reachable()),
        lambda row: News(row.id, event, cause, data, auction_id),
    )
    if not more:
        noted = (
            {Auction.opened_told: True}
            if event == Event.OPENED
            else {Auction.ending_told_for: Auction.ends_at}
        )
        session.execute(
            update(Auction).where(Auction.id == auction_id).values(noted),
            execution_options={"synchronize_session": False},
        )
    return more
