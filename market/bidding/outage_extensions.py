"""Giving back the time that an outage took: every auction that it touched ends later, once for each action.

An action is a UUID that whoever orders it has made. What fails half-way is asked again under the same one: what it has
extended is not extended twice. A neighbourhood auction is extended by `bidding.extend`, a live one by the script of
`store.redis.hot.extend_auction`; its record is the truth, and write-back follows it. A task then tells whoever had bid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications.broadcast import reachable, tell_next
from market.notifications.notifications import News, Value
from market.times import clock, from_ms, to_ms
from store.models import Auction, AuctionKind, AuctionStatus, Bid, Event, Extension, User

MAX_EXTENSION_MS = 24 * 3600 * 1000

BATCH = 1_000
"""Extensions in a run."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An auction whose end was moved, and by which action."""

    auction_id: UUID
    action_id: UUID


@dataclass(frozen=True, slots=True)
class Touched:
    """The running auctions that an outage touched, by where they are extended."""

    live: Sequence[UUID]
    neighbourhood: Sequence[UUID]


def touched(session: Session, began_at: int, ended_at: int, by_ms: int) -> Touched:
    """What ran at any time from `began_at` to `ended_at` (ms) and has not ended: to be extended by `by_ms`.

    A sealed auction is over. Refuses with `invalid_time` unless the outage ended after it began and before now, and
    `by_ms` is 1 to `MAX_EXTENSION_MS`.
    """
    if not 0 <= began_at <= ended_at <= to_ms(clock(session)):
        raise Refusal(
            GeneralRefusal.INVALID_TIME, "An outage must end after it began, and be over.", field="ended_at"
        )
    if not 1 <= by_ms <= MAX_EXTENSION_MS:
        raise Refusal(
            GeneralRefusal.INVALID_TIME, f"An extension must be 1 to {MAX_EXTENSION_MS} ms.", field="by_ms"
        )
    rows = session.execute(
        select(Auction.id, Auction.kind)
        .where(
            Auction.status == AuctionStatus.PUBLISHED,
            Auction.ends_at >= from_ms(began_at),
            Auction.opens_at <= from_ms(ended_at),
            Auction.published_at <= from_ms(ended_at),
        )
        .order_by(Auction.ends_at)
    ).all()
    return Touched(
        live=[auction_id for auction_id, kind in rows if kind == AuctionKind.LIVE],
        neighbourhood=[auction_id for auction_id, kind in rows if kind == AuctionKind.NEIGHBOURHOOD],
    )


def untold(session: Session) -> list[Moved]:
    """The extensions of which not all who had bid were told."""
    waiting = select(Extension.auction_id, Extension.action_id).where(Extension.told_at.is_(None))
    return [Moved(*row) for row in session.execute(waiting.order_by(Extension.at).limit(BATCH))]


def tell(session: Session, moved: Moved) -> bool:
    """Tell the next who had bid before the extension. Whether there are more; when not, it is noted as told."""
    auction_id = moved.auction_id
    extension = session.get_one(Extension, (auction_id, moved.action_id))
    had_bid = select(Bid.bidder_id).where(Bid.auction_id == auction_id, Bid.seq < extension.seq)
    data: dict[str, Value] = {
        "title": session.scalars(select(Auction.title).where(Auction.id == auction_id)).one(),
        "epoch": extension.epoch,
        "seq": extension.seq,
        "ends_at": to_ms(extension.ends_at),
        "outage": True,
    }
    cause = f"{auction_id}:{moved.action_id}"
    more = tell_next(
        session,
        f"{Event.EXTENDED}:{cause}",
        select(User.id).where(User.id.in_(had_bid), reachable()),
        lambda row: News(row.id, Event.EXTENDED, cause, data, auction_id),
    )
    if not more:
        extension.told_at = func.now()
        session.flush()
    return more
