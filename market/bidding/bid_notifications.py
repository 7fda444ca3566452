"""The notifications of an accepted bid, for both kinds of auction: of one kind they are made in the transaction of the
bid, of the other when it is written back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Uuid, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from market.notifications.notifications import NewNotification
from store.models import Bid, Event
from store.redis.records import BidRecord


@dataclass(frozen=True, slots=True)
class BidInContext:
    """A bid, and the auction before it: who led, and whether that was below the reserve."""

    bid: BidRecord
    title: str
    seller_id: UUID
    leader_id: UUID | None
    below_reserve: bool

    @property
    def beaten(self) -> UUID | None:
        """Who has lost the lead by it."""
        return self.leader_id if self.leader_id != self.bid.leader else None


def of_bid(accepted: BidInContext) -> Iterator[NewNotification]:
    """The notifications of the previous leader and the seller. Each is notified only once that an auction was
    extended."""
    bid, leader, beaten = accepted.bid, accepted.leader_id, accepted.beaten
    if beaten is not None:
        yield _notification(accepted, beaten, Event.OUTBID, _position(bid))
    if bid.extended and leader is not None and leader != bid.bidder:
        yield _notification(accepted, leader, Event.EXTENDED, str(bid.auction))
    if accepted.below_reserve and bid.reserve_met:
        yield _notification(accepted, accepted.seller_id, Event.RESERVE_MET, str(bid.auction))


def leading_again(session: Session, taken: Sequence[BidInContext]) -> list[NewNotification]:
    """The notifications of bidders who have taken the lead from somebody else, and not with their first bid: one for
    each auction. The bids are stored."""
    firsts = (
        func.unnest(
            cast([accepted.bid.auction for accepted in taken], ARRAY(Uuid)),
            cast([accepted.bid.bidder for accepted in taken], ARRAY(Uuid)),
        )
        .table_valued("auction_id", "bidder_id")
        .render_derived()
    )
    first = (
        select(func.min(Bid.seq))
        .where(Bid.bidder_id == firsts.c.bidder_id, Bid.auction_id == firsts.c.auction_id)
        .scalar_subquery()
    )
    first_of = dict(session.execute(select(firsts.c.auction_id, first)).all()) if taken else {}
    return [
        _notification(accepted, accepted.bid.bidder, Event.LEADING, _position(accepted.bid))
        for accepted in taken
        if first_of[accepted.bid.auction] < accepted.bid.seq
    ]


def _position(bid: BidRecord) -> str:
    return f"{bid.auction}:{bid.epoch}:{bid.seq}"


def _notification(accepted: BidInContext, user_id: UUID, event: Event, cause: str) -> NewNotification:
    bid = accepted.bid
    return NewNotification(
        user_id,
        event,
        cause,
        {
            "title": accepted.title,
            "epoch": bid.epoch,
            "seq": bid.seq,
            "price": bid.price,
            "next_minimum": bid.next_minimum,
            "ends_at": bid.ends_at,
        },
        auction_id=bid.auction,
    )
