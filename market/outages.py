"""Giving back the time that an outage took: every auction that it touched ends later, once for each action.

An action is a UUID that whoever orders it has made. What fails half-way is asked again under the same one: what it has
extended is not extended twice. A neighbourhood auction is extended by `bidding.extend`, a live one by the script of
`store.hot.extend_auction`; its record is the truth, and write-back follows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.times import clock, from_ms, to_ms
from store.models import Auction, AuctionKind, AuctionStatus

MAX_EXTENSION_MS = 24 * 3600 * 1000


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
        raise Refusal("invalid_time", "An outage ends after it has begun, and is over.", field="ended_at")
    if not 1 <= by_ms <= MAX_EXTENSION_MS:
        raise Refusal("invalid_time", f"An extension is 1 to {MAX_EXTENSION_MS} ms.", field="by_ms")
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
