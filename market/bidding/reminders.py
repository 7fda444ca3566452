"""Notifies watchers and paddle holders that an auction has opened or ends soon, and outbid bidders that a late bid has
moved its end.

None of it locks the auction before its last transaction.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Select, func, literal, or_, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from market.listings import listings
from market.notifications.broadcast import notify_next, reachable
from market.notifications.notifications import NewNotification, Value
from market.times import to_ms
from store.models import Auction, AuctionStatus, Bid, Event, Paddle, PaddleStatus, User, Watch

BEFORE_END = timedelta(minutes=10)

AGAIN_AFTER = timedelta(hours=1)
"""Users are notified again of an end that has moved by more, as after an outage; late bids move it by minutes."""

BATCH = 1_000
"""Auctions in a run."""

LONGEST_EXTENSION = timedelta(milliseconds=listings.MAX_SOFT_CLOSE_MS)

Reminder = Literal[Event.OPENED, Event.ENDING_SOON, Event.EXTENDED]


def auctions_to_remind(session: Session, event: Reminder) -> Sequence[UUID]:
    """The auctions whose users are to be notified of the event now, by PostgreSQL's clock."""
    time = Auction.opens_at if event == Event.OPENED else Auction.ends_at
    return session.scalars(select(Auction.id).where(_is_due(event)).order_by(time).limit(BATCH)).all()


def _is_due(event: Reminder) -> ColumnElement[bool]:
    """It is time for it, and the auction is not over."""
    running = (Auction.status == AuctionStatus.PUBLISHED) & (Auction.ends_at > func.now())
    if event == Event.OPENED:
        return running & ~Auction.opened_told & (Auction.opens_at <= func.now())
    if event == Event.EXTENDED:
        # The first condition is for the index: what a late bid has extended ends soon.
        soon = Auction.ends_at <= func.now() + LONGEST_EXTENSION
        cap = Auction.soft_close_cap_ms * literal(timedelta(milliseconds=1))
        return running & soon & ~Auction.extended_told & (Auction.ends_at + cap > Auction.latest_end)
    untold = or_(Auction.ending_told_for.is_(None), Auction.ends_at > Auction.ending_told_for + AGAIN_AFTER)
    return running & untold & (Auction.ends_at <= func.now() + BEFORE_END)


_TOLD: dict[Reminder, dict[InstrumentedAttribute[Any], Any]] = {
    Event.OPENED: {Auction.opened_told: True},
    Event.ENDING_SOON: {Auction.ending_told_for: Auction.ends_at},
    Event.EXTENDED: {Auction.extended_told: True},
}
"""How it is noted that all were notified."""


def remind(session: Session, auction_id: UUID, event: Reminder) -> bool:
    """Notify the next users, if it is still due. Whether there are more; when not, this is noted in the auction."""
    auction = session.scalar(select(Auction).where(Auction.id == auction_id, _is_due(event)))
    if auction is None:
        return False
    data: dict[str, Value] = {
        "title": auction.title,
        "price": auction.price or auction.start_price,
        "ends_at": to_ms(auction.ends_at),
    }
    cause = str(auction_id)
    if event == Event.ENDING_SOON and auction.ending_told_for is not None:
        cause += f":{to_ms(auction.ending_told_for)}"
    more = notify_next(
        session,
        f"{event}:{cause}",
        select(User.id).where(User.id.in_(_interested(auction, event)), reachable()),
        lambda row: NewNotification(row.id, event, cause, data, auction_id),
    )
    if not more:
        session.execute(
            update(Auction).where(Auction.id == auction_id).values(_TOLD[event]),
            execution_options={"synchronize_session": False},
        )
    return more


def _interested(auction: Auction, event: Reminder) -> Select[UUID] | CompoundSelect[UUID]:
    if event == Event.EXTENDED:
        # The leader knows: it was the leader's bid, or the notification about it, that moved the end.
        outbid = Bid.bidder_id != auction.leader_id
        return select(Bid.bidder_id).where(Bid.auction_id == auction.id, outbid)
    bidding = select(Paddle.bidder_id).where(
        Paddle.auction_id == auction.id, Paddle.status != PaddleStatus.RETURNED
    )
    # Of a hidden auction only its participants are notified.
    if auction.hidden_at is not None:
        return bidding
    return select(Watch.user_id).where(Watch.auction_id == auction.id).union(bidding)
