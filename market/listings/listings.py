"""What a seller does with a listing: draft it, edit it, publish it, delete it, list it again."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import update
from sqlalchemy.orm import Session

from market import increments
from market.accounts import accounts
from market.errors import GeneralRefusal, Refusal
from market.fees import SellerFee
from market.listings import (
    auction_views,
    categories,
    editing,
    photos,
    search_index,
)
from market.listings.auction_views import AuctionView, locked
from market.listings.refusals import ListingRefusal
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from market.places.refusals import PlaceRefusal
from market.platform import settings
from market.rules import MAX_AMOUNT, BuyNowUntil
from market.times import clock, from_ms, to_ms
from store.ids import new_id, shard_of
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Condition,
    DeliveryMethod,
)

MAX_TITLE = 200
MAX_DESCRIPTION = 10_000
MAX_DURATION_MS = 30 * 24 * 3600 * 1000
MAX_AHEAD_MS = 365 * 24 * 3600 * 1000
"""How far from now the end may be."""
MAX_SOFT_CLOSE_MS = 3600 * 1000
MAX_CAP_MS = 24 * 3600 * 1000
MAX_ADDENDUM = 2_000
"""Characters of one."""
MAX_ADDENDA = 20

REASONS = {
    "title": f"The title must not be empty, and can have at most {MAX_TITLE} characters.",
    "description": f"The description can have at most {MAX_DESCRIPTION} characters, and no NUL.",
    "start_price": "The start price must be at least 1.",
    "increments": f"Increments must start at price 0 and then rise, in at most {increments.MAX_STEPS} steps.",
    "increment_table": "Give either increments or the name of a table that the platform has.",
    "ends_at": "The auction must end in the future, within 30 days of its opening and a year from now.",
    "opens_at": "The auction must open before it ends, and at most 30 days before.",
    "soft_close": "Window and extension must be at most an hour and the cap at most a day, each at least 1 ms.",
    "deliveries": "Offer at least one way of delivery, and each only once.",
    "reserve": "The reserve must be above the start price.",
    "buy_now": "The buy-now price must be above the start price, and not below the reserve.",
    "buy_now_until": "Give `buy_now` and `buy_now_until` together, and `reserve_met` only with a reserve.",
    "category": "Choose a category that is not retired and has none below it.",
    editing.ADDENDUM: f"An addendum has 1 to {MAX_ADDENDUM} characters, and an auction at most {MAX_ADDENDA} of them.",
}
"""What makes an auction impossible, by field, for people."""

RELISTED = frozenset({AuctionStatus.UNSOLD, AuctionStatus.CANCELLED})
"""What may be listed again."""


class SoftCloseTerms(msgspec.Struct, frozen=True):
    """A bid within `window_ms` of the end moves the end to `extension_ms` after the bid, at most `cap_ms` past the
    end that was planned."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class Place(msgspec.Struct, frozen=True):
    """The neighbours among whom an auction is held: a neighbourhood of the seller, and how far around it."""

    neighbourhood_id: UUID
    radius: Radius


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An auction to be made. Amounts in minor units, times in ms. `increments` are (from price, increment), the first
    from 0; without them it uses those of the `increment_table` of this name, or of the default one. Without `opens_at`
    it opens now. `reserve` and `buy_now` are above the start price, `buy_now` not below the reserve; `buy_now_until`
    belongs to it. With a `place` it is a neighbourhood auction. `category` is the code of a leaf. `deliveries` are the
    ways, each once, in which the goods may change hands."""

    title: str
    description: str
    start_price: int
    increments: list[tuple[int, int]] | None = None
    increment_table: str | None = None
    opens_at: int | None
    ends_at: int
    soft_close: SoftCloseTerms | None = None
    reserve: int | None = None
    buy_now: int | None = None
    buy_now_until: BuyNowUntil | None = None
    place: Place | None = None
    category: str = categories.OTHER
    condition: Condition | None = None
    deliveries: tuple[DeliveryMethod, ...] = tuple(DeliveryMethod)


def create(session: Session, seller_id: UUID, draft: Draft) -> AuctionView:
    """Make a draft. Refuses with `invalid_auction`, naming the `field`, or with `not_a_neighbour`."""
    accounts.keep(session, seller_id)
    auction = _new(seller_id)
    _put(session, auction, draft.place)
    _write(session, auction, draft)
    return auction_views.get(session, auction.id, seller_id)


def edit(
    session: Session, seller_id: UUID, auction_id: UUID, version: int, changes: Mapping[str, Any]
) -> AuctionView:
    """Give some of what a `Draft` has new values, or add the text `addendum` to the description;
    `market.listings.editing` says what may change when.

    Refuses with `not_found`, `forbidden` (somebody else's), `precondition_failed` if it is not in this `version` (any
    more), `wrong_state` with the `fields` that may not change (any more), or as `create` does.
    """
    accounts.keep(session, seller_id)
    auction = _own(session, seller_id, auction_id)
    if auction.version != version:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    now = clock(session)
    editing.require(auction, now, changes)
    auction.version += 1
    values = dict(changes)
    if editing.ADDENDUM in values:
        _add_text(auction, values.pop(editing.ADDENDUM), to_ms(now))
    if values:
        if "place" in values:
            place = values["place"]
            _put(session, auction, place and msgspec.convert(place, Place, from_attributes=True))
        fields = msgspec.structs.asdict(_draft_of(auction))
        for name, other in (("increments", "increment_table"), ("increment_table", "increments")):
            if values.get(name) is not None:
                fields[other] = None
        _write(session, auction, msgspec.convert(fields | values, Draft, from_attributes=True))
    session.flush()
    return auction_views.get(session, auction_id, seller_id)


def delete(session: Session, seller_id: UUID, auction_id: UUID) -> None:
    """Delete a draft and its photos, for good.

    Refuses with `not_found`, `forbidden` (somebody else's) or `wrong_state` (no draft any more).
    """
    auction = _own(session, seller_id, auction_id)
    if auction.status != AuctionStatus.DRAFT:
        raise _published_already()
    photos.discard_of(session, auction_id)
    session.delete(auction)
    session.flush()


def duplicate(
    session: Session, seller_id: UUID, auction_id: UUID, opens_at: int | None, ends_at: int | None
) -> AuctionView:
    """Make a draft from the seller's auction, without its photos and addenda. It opens at `opens_at` (ms; None: now)
    and runs, without `ends_at`, as long as the other one was planned to.

    Refuses with `not_found`, `forbidden` (somebody else's) or `invalid_auction`, naming the `field`.
    """
    accounts.keep(session, seller_id)
    return _copy(session, _own(session, seller_id, auction_id), opens_at, ends_at, None)


def relist(
    session: Session, seller_id: UUID, auction_id: UUID, opens_at: int | None, ends_at: int | None
) -> AuctionView:
    """`duplicate` what was not sold, and link the two.

    Refuses as that does, and with `wrong_state` unless the auction ended without a sale.
    """
    accounts.keep(session, seller_id)
    auction = _own(session, seller_id, auction_id)
    if auction.status not in RELISTED:
        raise Refusal(
            GeneralRefusal.WRONG_STATE, "Only an auction that ended without a sale can be listed again."
        )
    return _copy(session, auction, opens_at, ends_at, auction.id)


def _own(session: Session, seller_id: UUID, auction_id: UUID) -> Auction:
    """The locked auction. Refuses with `not_found`, or `forbidden` if it is somebody else's."""
    auction = locked(session, auction_id)
    if auction.seller_id != seller_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only its seller can do this to an auction.")
    return auction


def _published_already() -> Refusal:
    return Refusal(GeneralRefusal.WRONG_STATE, "The auction is already published.")


def _new(seller_id: UUID) -> Auction:
    """A row without its contents: `_put` and `_write` give it those."""
    auction_id = new_id()
    return Auction(id=auction_id, shard=shard_of(auction_id), seller_id=seller_id)


def _put(session: Session, auction: Auction, place: Place | None) -> None:
    """Say among whom the auction is held. Refuses with `not_a_neighbour`."""
    region_code, cell = (None, None)
    if place is not None:
        region_code, cell = neighbourhoods.place_of(session, auction.seller_id, place.neighbourhood_id)
    auction.kind = AuctionKind.LIVE if place is None else AuctionKind.NEIGHBOURHOOD
    auction.region_code, auction.cell = region_code, cell
    auction.radius = None if place is None else place.radius


def _write(session: Session, auction: Auction, draft: Draft) -> None:
    """Let the auction say what the draft does, except where. Refuses with `invalid_auction`, naming the `field`."""
    now = to_ms(clock(session))
    opens_at = now if draft.opens_at is None else draft.opens_at
    _validate(draft, opens_at, now)
    if not categories.is_leaf(session, draft.category):
        raise _impossible("category")
    soft = draft.soft_close or SoftCloseTerms(0, 0, 0)
    auction.category_code, auction.condition = draft.category, draft.condition
    auction.deliveries = list(draft.deliveries)
    auction.title, auction.description = draft.title, draft.description
    auction.start_price = draft.start_price
    _set_increments(session, auction, draft)
    auction.opens_at, auction.ends_at = from_ms(opens_at), from_ms(draft.ends_at)
    auction.latest_end = from_ms(draft.ends_at + soft.cap_ms)
    auction.soft_close_window_ms, auction.soft_close_extension_ms = soft.window_ms, soft.extension_ms
    auction.soft_close_cap_ms = soft.cap_ms
    auction.reserve = draft.reserve
    auction.buy_now_price, auction.buy_now_until = draft.buy_now, draft.buy_now_until
    session.add(auction)
    session.flush()
    search_index.remember(session, auction.id, draft.title, draft.description)


def _set_increments(session: Session, auction: Auction, draft: Draft) -> None:
    """Let the auction have the increments of the draft, or of its table as it is now. Refuses with `invalid_auction`
    if there is no such table (any more)."""
    name, steps = None, draft.increments
    if steps is None:
        table = settings.increment_table(session, draft.increment_table)
        if table is None:
            raise _impossible("increment_table")
        name, steps = table.name, table.increments
    auction.increment_table = name
    auction.increments = [list(step) for step in steps]


def _draft_of(auction: Auction) -> Draft:
    """What the auction says, with the times that were planned, except where."""
    soft = SoftCloseTerms(
        auction.soft_close_window_ms, auction.soft_close_extension_ms, auction.soft_close_cap_ms
    )
    return Draft(
        title=auction.title,
        description=auction.description,
        start_price=auction.start_price,
        increments=None if auction.increment_table else auction_views.steps(auction.increments),
        increment_table=auction.increment_table,
        opens_at=to_ms(auction.opens_at),
        ends_at=to_ms(auction.latest_end) - soft.cap_ms,
        soft_close=soft if soft.window_ms else None,
        reserve=auction.reserve,
        buy_now=auction.buy_now_price,
        buy_now_until=BuyNowUntil(auction.buy_now_until) if auction.buy_now_until else None,
        category=auction.category_code,
        condition=auction.condition,
        deliveries=tuple(auction.deliveries),
    )


def _add_text(auction: Auction, text: str, now: int) -> None:
    if text.strip() == "" or len(text) > MAX_ADDENDUM or "\0" in text or len(auction.addenda) == MAX_ADDENDA:
        raise _impossible(editing.ADDENDUM)
    # A new list: a change inside the old one would not be noticed.
    auction.addenda = [*auction.addenda, {"at": now, "text": text}]


def _copy(
    session: Session, other: Auction, opens_at: int | None, ends_at: int | None, relisted_from: UUID | None
) -> AuctionView:
    """A draft of what `other` says. It is held among the same neighbours; publishing asks whether they still are."""
    said = _draft_of(other)
    assert said.opens_at is not None
    opens_at = to_ms(clock(session)) if opens_at is None else opens_at
    ends_at = opens_at + said.ends_at - said.opens_at if ends_at is None else ends_at
    copy = _new(other.seller_id)
    copy.kind, copy.region_code, copy.cell, copy.radius = (
        other.kind,
        other.region_code,
        other.cell,
        other.radius,
    )
    copy.relisted_from = relisted_from
    _write(session, copy, msgspec.structs.replace(said, opens_at=opens_at, ends_at=ends_at))
    return auction_views.get(session, copy.id, other.seller_id)


def _impossible(field: str) -> Refusal:
    return Refusal(ListingRefusal.INVALID_AUCTION, REASONS[field], field=field)


def _validate(draft: Draft, opens_at: int, now: int) -> None:
    soft = draft.soft_close
    checks = {
        "title": draft.title.strip() != "" and len(draft.title) <= MAX_TITLE and "\0" not in draft.title,
        "description": len(draft.description) <= MAX_DESCRIPTION and "\0" not in draft.description,
        "start_price": 1 <= draft.start_price <= MAX_AMOUNT,
        "increments": draft.increments is None or increments.is_table(draft.increments),
        "increment_table": draft.increments is None or draft.increment_table is None,
        "ends_at": now < draft.ends_at <= min(max(now, opens_at) + MAX_DURATION_MS, now + MAX_AHEAD_MS),
        "opens_at": draft.ends_at - MAX_DURATION_MS <= opens_at < draft.ends_at,
        "soft_close": soft is None
        or (
            1 <= soft.window_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.extension_ms <= MAX_SOFT_CLOSE_MS
            and 1 <= soft.cap_ms <= MAX_CAP_MS
        ),
        "deliveries": 1 <= len(draft.deliveries) == len(set(draft.deliveries)),
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
    """Show a draft to everybody and let it be bid on. The fee of this moment is the auction's, and so are the
    increments of the table that the draft names: no later change of either reaches it. `bidding.publishing` has Redis
    know it, too.

    Refuses with `switched_off`, `email_not_verified`, `suspended`, `not_found`, `forbidden` (somebody else's),
    `wrong_state` (no draft any more), `invalid_auction` (its end has passed, or its table of increments is gone) or
    `not_a_neighbour` (the seller is no neighbour there any more).
    """
    accounts.keep(session, seller_id)
    settings.require(session, "publishing")
    accounts.require_may_trade(session, seller_id)
    auction = _own(session, seller_id, auction_id)
    if auction.status != AuctionStatus.DRAFT:
        raise _published_already()
    now = clock(session)
    if auction.ends_at <= now:
        raise Refusal(
            ListingRefusal.INVALID_AUCTION, "The end of the auction has already passed.", field="ends_at"
        )
    if auction.kind == AuctionKind.NEIGHBOURHOOD:
        if auction.cell not in neighbourhoods.cells_of(session, seller_id):
            raise Refusal(PlaceRefusal.NOT_A_NEIGHBOUR)
        auction.epoch = 1
    _set_increments(session, auction, _draft_of(auction))
    auction.increment_table = None
    auction.status = AuctionStatus.PUBLISHED
    auction.published_at = now
    fee = settings.get(session, SellerFee).value
    auction.fee_basis_points, auction.fee_floor, auction.fee_cap = fee.basis_points, fee.floor, fee.cap
    session.flush()
    return auction_views.get(session, auction_id, seller_id)


def forget_user(session: Session, user_id: UUID) -> None:
    """Empty the drafts of a user, whose account is deleted. What was published stays."""
    session.execute(
        update(Auction)
        .where(Auction.seller_id == user_id, Auction.status == AuctionStatus.DRAFT)
        .values(
            title="Deleted", description="", kind=AuctionKind.LIVE, region_code=None, cell=None, radius=None
        ),
        execution_options={"synchronize_session": False},
    )
