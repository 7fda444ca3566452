"""What may still change of a listing, and when.

Nobody shall bid on something that then becomes something else. So what is sold may change until somebody can have
bid, and what it is sold for only in a draft: Redis, too, has that from the publishing on. Afterwards the seller can
only add to the description.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from market.errors import GeneralRefusal, Refusal
from store.models import Auction, AuctionKind, AuctionStatus

FROZEN_BEFORE = timedelta(minutes=1)
"""So long before a live auction opens nothing changes any more: its first bids are known here only after a while, its
clock is another one, and those who wait for the opening shall have seen what they bid on."""


class Stage(StrEnum):
    """How far a listing is, from its seller's view."""

    DRAFT = "draft"
    OFFERED = "offered"
    """Published, and nobody can have bid."""
    BIDDING = "bidding"
    """Somebody has bid, or may have."""
    OVER = "over"


GOODS = frozenset({"title", "description", "category", "condition", "deliveries"})
TERMS = frozenset(
    {
        "start_price",
        "increments",
        "increment_table",
        "opens_at",
        "ends_at",
        "soft_close",
        "reserve",
        "buy_now",
        "buy_now_until",
        "place",
    }
)
PHOTOS = "photos"
ADDENDUM = "addendum"
"""More text below the description, with its time."""

MAY_CHANGE: dict[Stage, frozenset[str]] = {
    Stage.DRAFT: GOODS | TERMS | {PHOTOS},
    Stage.OFFERED: GOODS | {PHOTOS, ADDENDUM},
    Stage.BIDDING: frozenset({ADDENDUM}),
    Stage.OVER: frozenset(),
}
"""The table of docs/api.md. What is not here is refused."""


def stage_of(auction: Auction, now: datetime) -> Stage:
    """How far a locked auction is at `now`, PostgreSQL's time."""
    if auction.status == AuctionStatus.DRAFT:
        return Stage.DRAFT
    if auction.status != AuctionStatus.PUBLISHED or auction.ends_at <= now:
        return Stage.OVER
    if auction.kind == AuctionKind.NEIGHBOURHOOD:
        return Stage.BIDDING if auction.bids else Stage.OFFERED
    return Stage.OFFERED if now < auction.opens_at - FROZEN_BEFORE else Stage.BIDDING


def require(auction: Auction, now: datetime, names: Iterable[str]) -> None:
    """Refuse with `wrong_state`, naming the `fields`, to change what may not change of a locked auction at `now`."""
    stage = stage_of(auction, now)
    if fixed := sorted(set(names) - MAY_CHANGE[stage]):
        raise Refusal(
            GeneralRefusal.WRONG_STATE, f"These can no longer be changed: {', '.join(fixed)}.", fields=fixed
        )
