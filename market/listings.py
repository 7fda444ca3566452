"""What a seller does with a listing: draft it, publish it."""

from uuid import UUID

import msgspec
from sqlalchemy.orm import Session

from market import accounts, auctions, categories, increments, neighbourhoods, platform, words
from market.auctions import AuctionView, locked
from market.errors import Refusal
from market.fees import SellerFee
from market.neighbourhoods import Radius
from market.rules import MAX_AMOUNT, BuyNowUntil
from market.times import clock, from_ms, to_ms
from store.ids import new_id, shard_of
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Condition,
)

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
MAX_DURATION_MS = 30 * 24 * 3600 * 1000
MAX_AHEAD_MS = 365 * 24 * 3600 * 1000
"""How far from now the end may be."""
MAX_SOFT_CLOSE_MS = 3600 * 1000
MAX_CAP_MS = 24 * 3600 * 1000


class SoftClose(msgspec.Struct, frozen=True):
    """A bid within `window_ms` of the end moves the end to `extension_ms` after the bid, at most `cap_ms` past the
    end that was planned."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class Place(msgspec.Struct, frozen=True):
    """Among which neighbours an auction is held: a neighbourhood of the seller, and how far around it."""

    neighbourhood_id: UUID
    radius: Radius


class Draft(msgspec.Struct, frozen=True):
    """An auction to be made. Amounts in minor units, times in ms. `increments` are (from price, increment), the first
    from 0. Without `opens_at` it opens now. `reserve` and `buy_now` are above the start price, `buy_now` not below the
    reserve; `buy_now_until` belongs to it. With a `place` it is a neighbourhood auction. `category` is the code of a
    leaf."""

    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]]
    opens_at: int | None
    ends_at: int
    soft_close: SoftClose | None = None
    reserve: int | None = None
    buy_now: int | None = None
    buy_now_until: BuyNowUntil | None = None
    place: Place | None = None
    category: str = categories.OTHER
    condition: Condition | None = None


def create(session: Session, seller_id: UUID, draft: Draft) -> AuctionView:
    """Make a draft. Refuses with `invalid_auction`, naming the `field`, or with `not_a_neighbour`."""
    accounts.keep(session, seller_id)
    now = to_ms(clock(session))
    opens_at = now if draft.opens_at is None else draft.opens_at
    _validate(draft, opens_at, now)
    if not categories.is_leaf(session, draft.category):
        raise _impossible("category")
    soft = draft.soft_close or SoftClose(0, 0, 0)
    place = draft.place
    region_code, cell = (None, None)
    if place is not None:
        region_code, cell = neighbourhoods.place_of(session, seller_id, place.neighbourhood_id)
    auction_id = new_id()
    session.add(
        Auction(
            id=auction_id,
            shard=shard_of(auction_id),
            seller_id=seller_id,
            kind=AuctionKind.LIVE if place is None else AuctionKind.NEIGHBOURHOOD,
            region_code=region_code,
            cell=cell,
            radius=None if place is None else place.radius,
            category_code=draft.category,
            condition=draft.condition,
            title=draft.title,
            description=draft.description,
            start_price=draft.start_price,
            increments=[list(step) for step in draft.increments],
            opens_at=from_ms(opens_at),
            ends_at=from_ms(draft.ends_at),
            latest_end=from_ms(draft.ends_at + soft.cap_ms),
            soft_close_window_ms=soft.window_ms,
            soft_close_extension_ms=soft.extension_ms,
            reserve=draft.reserve,
            buy_now_price=draft.buy_now,
            buy_now_until=draft.buy_now_until,
        )
    )
    session.flush()
    words.remember(session, auction_id, draft.title, draft.description)
    return auctions.get(session, auction_id, seller_id)


def _impossible(field: str) -> Refusal:
    return Refusal("invalid_auction", f"The auction is not possible like this: {field}.", field=field)


def _validate(draft: Draft, opens_at: int, now: int) -> None:
    soft = draft.soft_close
    checks = {
        "title": draft.title.strip() != "" and len(draft.title) <= MAX_TITLE and "\0" not in draft.title,
        "description": len(draft.description) <= MAX_DESCRIPTION and "\0" not in draft.description,
        "start_price": 1 <= draft.start_price <= MAX_AMOUNT,
        "increments": increments.is_table(draft.increments),
        "ends_at": now < draft.ends_at <= now + MAX_AHEAD_MS,
        "opens_at": draft.ends_at - MAX_DURATION_MS <= opens_at < draft.ends_at,
        "soft_close": soft is None
        or (
            1 <= soft.window_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.extension_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.cap_ms <= MAX_CAP_MS
        ),
        "reserve": draft.reserve is None or draft.start_price < draft.reserve <= MAX_AMOUNT,
        "buy_now": draft.buy_now is None
        or (draft.start_price < draft.buy_now < MAX_AMOUNT and draft.buy_now >= (draft.reserve or 0)),
        "buy_now_until": (draft.buy_now_until is None) == (draft.buy_now is None)
        and (draft.buy_now_until != BuyNowUntil.RESERVE_MET or draft.reserve is not None),
    }
    for field, valid in checks.items():
        if not valid:
            raise _impossible(field)


def publish(session: Session, seller_id: UUID, auction_id: UUID) -> AuctionView:
    """Show a draft to everybody and let it be bid on. The fee of this moment is the auction's. The caller tells Redis
    after the commit.

    Refuses with `switched_off`, `email_not_verified`, `suspended`, `not_found`, `forbidden` (somebody else's),
    `wrong_state` (no draft any more), `invalid_auction` (its end has passed) or `not_a_neighbour` (the seller is no
    neighbour there any more).
    """
    accounts.keep(session, seller_id)
    platform.require(session, "publishing")
    accounts.require_may_trade(session, seller_id)
    auction = locked(session, auction_id)
    if auction.seller_id != seller_id:
        raise Refusal("forbidden", "Only its seller may publish an auction.")
    if auction.status != AuctionStatus.DRAFT:
        raise Refusal("wrong_state", "The auction was published already.")
    now = clock(session)
    if auction.ends_at <= now:
        raise Refusal("invalid_auction", "The end of the auction has passed.", field="ends_at")
    if auction.kind == AuctionKind.NEIGHBOURHOOD:
        if auction.cell not in neighbourhoods.cells_of(session, seller_id):
            raise Refusal("not_a_neighbour", "Verify your neighbourhood again before you publish there.")
        auction.epoch = 1
    auction.status = AuctionStatus.PUBLISHED
    auction.published_at = now
    fee = platform.get(session, SellerFee).value
    auction.fee_basis_points, auction.fee_floor, auction.fee_cap = fee.basis_points, fee.floor, fee.cap
    session.flush()
    return auctions.get(session, auction_id, seller_id)
