"""The search for auctions: what everybody can find, by words, place, price and more, in pages that hold what a card
shows.

Every page takes two statements, one more with facets. Prices of running live auctions are PostgreSQL's here, about a
second old; a caller that has asked Redis passes its answer to `cards`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, TypeVarTuple
from uuid import UUID

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    Subquery,
    Text,
    and_,
    any_,
    case,
    cast,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.orm import InstrumentedAttribute, Session, defer

from market import rules
from market.errors import GeneralRefusal, Refusal
from market.listings import auction_views, photos, search_index
from market.listings.auction_views import AuctionState, StateFilter
from market.listings.photos import Address
from market.pages import bounded, decode_cursor, page_of, window
from market.places import neighbourhoods
from market.places.neighbourhoods import Distance, Radius
from market.places.refusals import PlaceRefusal
from market.rules import MAX_AMOUNT
from market.times import from_ms, to_ms
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Category,
    Condition,
    DeliveryMethod,
    Neighbourhood,
    Region,
    SearchWords,
    User,
    Watch,
)
from store.redis.glances import Glance

Columns = TypeVarTuple("Columns")

MAX_QUERY = 100
"""Characters of what is searched."""
MAX_COUNTED = 2_000
"""Facets count no more than so many: counting everything would take longer than everything else together."""
_SIDO_DIGITS = 2
_LATEST_MS = 10**13


class Sort(StrEnum):
    """The order of the results. Among equals the newest is first, or last where the order rises."""

    NEWEST = "newest"
    ENDING_SOON = "ending_soon"
    """Those that have not ended, and only they."""
    MOST_BIDS = "most_bids"
    PRICE_LOW = "price_low"
    PRICE_HIGH = "price_high"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of a search; one that is None does not matter.

    `category` and `region` stand for all that lies in them. `delivery` is one of the ways in which the goods may change
    hands. `neighbourhood_id`, one of the searcher's, and `radius` go together. Prices are the current ones, or the
    start price before the first bid, in minor units.
    """

    q: str | None = None
    category: str | None = None
    region: str | None = None
    neighbourhood_id: UUID | None = None
    radius: Radius | None = None
    min_price: int | None = None
    max_price: int | None = None
    condition: Condition | None = None
    delivery: DeliveryMethod | None = None
    kind: AuctionKind | None = None
    state: StateFilter | None = None
    seller: UUID | None = None


class AuctionCard(msgspec.Struct, frozen=True):
    """What a list shows of an auction. Amounts in minor units, times in ms. `price` is None before the first bid,
    `buy_now` when it is not on offer, or no longer. `region_name` is the full one. `distance` is there for
    neighbours, for others None; `viewers` while it runs and they are known. `photo` is an address."""

    id: UUID
    kind: AuctionKind
    state: AuctionState
    title: str
    category: str
    condition: Condition | None
    deliveries: list[DeliveryMethod]
    start_price: int
    price: int | None
    next_minimum: int
    bids: int
    opens_at: int
    ends_at: int
    buy_now: int | None
    reserve_met: bool
    seller_id: UUID
    seller_name: str
    region_code: str | None
    region_name: str | None
    distance: Distance | None
    photo: str | None
    viewers: int | None


class Count(msgspec.Struct, frozen=True):
    """How many results have this value."""

    value: str
    count: int


class Facets(msgspec.Struct, frozen=True):
    """The results counted by their values, the most frequent first. `region` has the codes of 시/도; what offers
    both kinds of `delivery` counts for each. Only the newest `MAX_COUNTED` are counted unless it is `complete`."""

    complete: bool
    category: list[Count]
    condition: list[Count]
    kind: list[Count]
    state: list[Count]
    region: list[Count]
    delivery: list[Count]


class SearchPage(msgspec.Struct, frozen=True):
    """A page of what was found, with facets if they were asked for."""

    items: list[AuctionCard]
    next_cursor: str | None
    facets: Facets | msgspec.UnsetType = msgspec.UNSET


class _SearchPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, in the list of this search and order."""

    search: str
    value: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT)]
    id: UUID


@dataclass(frozen=True, slots=True)
class _Hit:
    auction: Auction
    seller_name: str
    region_name: str | None
    cover: str | None
    distance: Distance | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page as PostgreSQL knows it at `now`: give it to `cards`."""

    hits: list[_Hit]
    next_cursor: str | None
    facets: Facets | None
    now: datetime

    def running(self) -> dict[UUID, bool]:
        """The auctions of which Redis may know more, and whether it decides their prices."""
        return {
            hit.auction.id: hit.auction.kind == AuctionKind.LIVE
            for hit in self.hits
            if auction_views.state_of(hit.auction, self.now) in _RUNNING
        }


_RUNNING = (AuctionState.LIVE, AuctionState.CLOSING)
_ASKED = func.greatest(Auction.price, Auction.start_price)
"""What one would have to pay at least. The price is 0 before the first bid."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What must be known before the search. Without a viewer there are no cells."""

    now: datetime
    cells: list[str]
    home: str | None
    categories: list[str]


def find(
    session: Session,
    wanted: Wanted,
    sort: Sort,
    cursor: str | None,
    limit: int,
    facets: bool,
    viewer_id: UUID | None,
) -> Found:
    """The auctions that everybody may see and that are as `wanted`.

    Refuses with `invalid_query`, naming the parameter, `unauthenticated` (a radius is around somebody),
    `not_a_neighbour` (it is no neighbourhood of the viewer) or `invalid_cursor` (another search has given it).
    """
    _check(wanted, sort, viewer_id)
    context = _context(session, wanted, viewer_id)
    conditions = [*_visible(), *_conditions(wanted, sort, context)]
    search = _fingerprint(wanted, sort)
    after = [] if cursor is None else [_after(sort, search, cursor)]
    hit = (
        _having(wanted.q, select(Auction.id))
        .where(*conditions, *after)
        .order_by(*_order(sort))
        .limit(bounded(limit) + 1)
        .subquery()
    )
    hits = [_hit(context.cells, *row) for row in session.execute(_shown(hit).order_by(*_order(sort)))]
    page = page_of(
        hits, limit, lambda hit: _SearchPosition(search, _value(sort, hit.auction), hit.auction.id)
    )
    return Found(
        hits=page.items,
        next_cursor=page.next_cursor,
        facets=_facets(session, wanted.q, conditions) if facets else None,
        now=context.now,
    )


def watched(session: Session, user_id: UUID, cursor: str | None, limit: int) -> Found:
    """The auctions that a user watches, also those that are over, the last added first.

    Refuses with `invalid_cursor`.
    """
    context = _context(session, Wanted(), user_id)
    query = (
        select(Auction.id, Watch.id.label("watch_id"))
        .join(Watch, Watch.auction_id == Auction.id)
        .where(Watch.user_id == user_id, *_visible())
    )
    last = None if cursor is None else [decode_cursor(cursor, UUID)]
    hit = window(query, [Watch.id], last, limit).subquery()
    rows = session.execute(_shown(hit).add_columns(hit.c.watch_id).order_by(hit.c.watch_id.desc()))
    hits = [(watch_id, _hit(context.cells, *shown)) for *shown, watch_id in rows]
    page = page_of(hits, limit, lambda pair: pair[0])
    return Found([hit for _, hit in page.items], page.next_cursor, None, context.now)


def _shown(hit: Subquery) -> Select[Auction, str, str | None, str]:
    """What a card shows of the auctions whose ids are in `hit`, for `_hit`."""
    return (
        select(Auction, User.display_name, Region.full_name, photos.cover())
        .join(hit, hit.c.id == Auction.id)
        .join(User, User.id == Auction.seller_id)
        .outerjoin(Region, Region.code == Auction.region_code)
        .options(defer(Auction.description, raiseload=True), defer(Auction.addenda, raiseload=True))
    )


def _hit(
    cells: Collection[str], auction: Auction, seller: str, region: str | None, cover: str | None
) -> _Hit:
    return _Hit(auction, seller, region, cover, neighbourhoods.distance(cells, auction.cell))


def cards(found: Found, glances: Mapping[UUID, Glance], address: Address) -> SearchPage:
    """The page as it is shown, with what Redis says of the auctions that are running."""
    return SearchPage(
        items=[_card(hit, glances.get(hit.auction.id), found.now, address) for hit in found.hits],
        next_cursor=found.next_cursor,
        facets=found.facets or msgspec.UNSET,
    )


def _check(wanted: Wanted, sort: Sort, viewer_id: UUID | None) -> None:
    """Refuse what makes no sense together."""
    local = wanted.region is not None or wanted.radius is not None
    if wanted.q is not None and search_index.query(wanted.q) is None:
        raise _invalid("q", "must have a letter or a digit")
    if (wanted.neighbourhood_id is None) != (wanted.radius is None):
        missing = "radius" if wanted.radius is None else "neighbourhood_id"
        raise _invalid(missing, "is missing: neighbourhood_id and radius go together")
    if wanted.region is not None and wanted.radius is not None:
        raise _invalid("region", "cannot be combined with a radius")
    if wanted.kind == AuctionKind.LIVE and local:
        raise _invalid("kind", "must not be live with a region or radius: live auctions are nationwide")
    if wanted.min_price is not None and wanted.min_price > (wanted.max_price or MAX_AMOUNT):
        raise _invalid("min_price", "must not be above max_price")
    if sort == Sort.ENDING_SOON and wanted.state == "closed":
        raise _invalid("sort", "must not be ending_soon for closed auctions")
    if wanted.radius is not None and viewer_id is None:
        raise Refusal(GeneralRefusal.UNAUTHENTICATED, "Log in to search around your own neighbourhood.")


def _invalid(field: str, detail: str) -> Refusal:
    return Refusal(
        GeneralRefusal.INVALID_QUERY, f"{field}: {detail}", errors=[{"field": field, "detail": detail}]
    )


def _context(session: Session, wanted: Wanted, viewer_id: UUID | None) -> _Context:
    """All in one statement, which also asks for plans for the very values: those of a rare and of a common word differ
    as much as night and day. Compiling such a plan takes longer than running it, and rows are in memory or on an SSD,
    where one is as near as another."""
    own = [Neighbourhood.user_id == viewer_id, Neighbourhood.expires_at > func.now()]
    branch = (Category.code == wanted.category) | (Category.parent_code == wanted.category)
    row = session.execute(
        select(
            func.set_config("plan_cache_mode", "force_custom_plan", True),
            func.set_config("jit", "off", True),
            func.set_config("random_page_cost", "1.1", True),
            func.now().label("now"),
            select(func.array_agg(Neighbourhood.cell)).where(*own).scalar_subquery().label("cells"),
            select(Neighbourhood.cell)
            .where(Neighbourhood.id == wanted.neighbourhood_id, *own)
            .scalar_subquery()
            .label("home"),
            select(func.array_agg(Category.code)).where(branch).scalar_subquery().label("categories"),
            select(Region.code).where(Region.code == wanted.region).scalar_subquery().label("region"),
        )
    ).one()
    if wanted.category is not None and not row.categories:
        raise _invalid("category", "there is no such category")
    if wanted.region is not None and row.region is None:
        raise _invalid("region", "there is no such region")
    if wanted.neighbourhood_id is not None and row.home is None:
        raise Refusal(PlaceRefusal.NOT_A_NEIGHBOUR)
    return _Context(row.now, row.cells or [], row.home, row.categories or [])


def _visible() -> list[ColumnElement[bool]]:
    """What everybody may find. Whatever is to be hidden is hidden here."""
    return [Auction.status != AuctionStatus.DRAFT, Auction.hidden_at.is_(None)]


def _conditions(wanted: Wanted, sort: Sort, context: _Context) -> list[ColumnElement[bool]]:
    conditions = []
    if context.home is not None and wanted.radius is not None:
        conditions.append(_among(Auction.cell, neighbourhoods.cells_around([context.home], wanted.radius)))
    if wanted.category is not None:
        conditions.append(_among(Auction.category_code, context.categories))
    if wanted.region is not None:
        conditions.append(Auction.region_code.like(f"{wanted.region}%"))
    if wanted.min_price is not None:
        conditions.append(wanted.min_price <= _ASKED)
    if wanted.max_price is not None:
        conditions.append(wanted.max_price >= _ASKED)
    if wanted.condition is not None:
        conditions.append(Auction.condition == wanted.condition)
    if wanted.delivery is not None:
        conditions.append(Auction.deliveries.contains([wanted.delivery]))
    if wanted.kind is not None:
        conditions.append(Auction.kind == wanted.kind)
    if wanted.state is not None:
        conditions.append(auction_views.in_state(wanted.state))
    if wanted.seller is not None:
        conditions.append(Auction.seller_id == wanted.seller)
    if sort == Sort.ENDING_SOON:
        conditions.append(and_(Auction.status == AuctionStatus.PUBLISHED, Auction.ends_at > func.now()))
    return conditions


def _among(column: InstrumentedAttribute[Any], values: list[str]) -> ColumnElement[bool]:
    if len(values) == 1:
        # Of a single value, the index knows the order of the ids.
        return column == values[0]
    return any_(cast(values, ARRAY(Text))) == column


def _having(q: str | None, query: Select[*Columns]) -> Select[*Columns]:
    """The query, of auctions that have every word of `q`."""
    if q is None:
        return query
    found = SearchWords.words.op("@@", is_comparison=True)(cast(search_index.query(q), TSQUERY))
    return query.join(SearchWords, SearchWords.auction_id == Auction.id).where(found)


def _order(sort: Sort) -> tuple[ColumnElement[Any], ...]:
    match sort:
        case Sort.NEWEST:
            return (Auction.id.desc(),)
        case Sort.ENDING_SOON:
            return (Auction.ends_at.asc(), Auction.id.asc())
        case Sort.MOST_BIDS:
            return (Auction.bids.desc(), Auction.id.desc())
        case Sort.PRICE_LOW:
            return (_ASKED.asc(), Auction.id.asc())
        case Sort.PRICE_HIGH:
            return (_ASKED.desc(), Auction.id.desc())


def _value(sort: Sort, auction: Auction) -> int:
    """What the order goes by, before the id."""
    match sort:
        case Sort.NEWEST:
            return 0
        case Sort.ENDING_SOON:
            return to_ms(auction.ends_at)
        case Sort.MOST_BIDS:
            return auction.bids
        case Sort.PRICE_LOW | Sort.PRICE_HIGH:
            return max(auction.price, auction.start_price)


def _after(sort: Sort, search: str, cursor: str) -> ColumnElement[bool]:
    """What comes after the cursor. Refuses one of another search."""
    last = decode_cursor(cursor, _SearchPosition)
    if last.search != search:
        raise Refusal(GeneralRefusal.INVALID_CURSOR)
    match sort:
        case Sort.NEWEST:
            return Auction.id < last.id
        case Sort.ENDING_SOON:
            # All ends are whole milliseconds.
            return tuple_(Auction.ends_at, Auction.id) > (from_ms(min(last.value, _LATEST_MS)), last.id)
        case Sort.MOST_BIDS:
            return tuple_(Auction.bids, Auction.id) < (last.value, last.id)
        case Sort.PRICE_LOW:
            return tuple_(_ASKED, Auction.id) > (last.value, last.id)
        case Sort.PRICE_HIGH:
            return tuple_(_ASKED, Auction.id) < (last.value, last.id)


def _fingerprint(wanted: Wanted, sort: Sort) -> str:
    """A short name of this search and order: cursors carry it against mistakes, not against forgers."""
    return hashlib.sha256(msgspec.json.encode((wanted, sort))).hexdigest()[:8]


def _facets(session: Session, q: str | None, conditions: list[ColumnElement[bool]]) -> Facets:
    published = Auction.status == AuctionStatus.PUBLISHED
    state = case(
        (and_(published, Auction.opens_at > func.now()), "scheduled"),
        (and_(published, Auction.ends_at > func.now()), "live"),
        else_="closed",
    )
    facets: list[tuple[str, SQLColumnExpression[Any]]] = [
        ("category", Auction.category_code),
        ("condition", Auction.condition),
        ("kind", Auction.kind),
        ("state", state),
        ("region", func.left(Auction.region_code, _SIDO_DIGITS)),
        # Many offer both, so each is a column.
        *(("delivery", case((Auction.deliveries.contains([way]), way))) for way in DeliveryMethod),
    ]
    names = [name for name, _ in facets]
    labelled: list[ColumnElement[Any]] = [
        value.label(f"facet_{number}") for number, (_, value) in enumerate(facets)
    ]
    matches = (
        _having(q, select(*labelled))
        .where(*conditions)
        .order_by(Auction.id.desc())
        .limit(MAX_COUNTED)
        .subquery()
    )
    columns, count = list(matches.c), func.count()
    counts: dict[str, list[Count]] = defaultdict(list)
    for *values, number in session.execute(
        select(*columns, count).group_by(func.grouping_sets(*columns)).order_by(count.desc(), *columns)
    ):
        # One of them is the value; all are None for what has none, such as a region.
        for name, value in zip(names, values, strict=True):
            if value is not None:
                counts[name].append(Count(value, number))
    found = sum(kind.count for kind in counts["kind"])
    return Facets(found < MAX_COUNTED, *(counts[name] for name in dict.fromkeys(names)))


def _card(hit: _Hit, glance: Glance | None, now: datetime, address: Address) -> AuctionCard:
    auction = hit.auction
    known, state = auction_views.rules_state(auction), auction_views.state_of(auction, now)
    hot = None if glance is None else glance.price
    # PostgreSQL may know more than a Redis that has lost its data.
    if hot is not None and hot.seq >= auction.seq:
        lead = rules.Lead(hot.leader, 0, 0) if hot.leader else None
        known = replace(known, price=hot.price, lead=lead, bids=hot.bids, ends_at=hot.ends_at)
        over = hot.sealed or hot.ends_at <= to_ms(now)
        state = AuctionState.CLOSING if over else AuctionState.LIVE
    running = state == AuctionState.LIVE
    return AuctionCard(
        id=auction.id,
        kind=auction.kind,
        state=state,
        title=auction.title,
        category=auction.category_code,
        condition=auction.condition,
        deliveries=auction.deliveries,
        start_price=auction.start_price,
        price=known.price if known.lead else None,
        next_minimum=rules.next_minimum(known),
        bids=known.bids,
        opens_at=known.opens_at,
        ends_at=known.ends_at,
        buy_now=(rules.buy_now(known) or None) if running or state == AuctionState.SCHEDULED else None,
        reserve_met=rules.reserve_met(known),
        seller_id=auction.seller_id,
        seller_name=hit.seller_name,
        region_code=auction.region_code,
        region_name=hit.region_name,
        distance=hit.distance,
        photo=None if hit.cover is None else photos.cover_address(hit.cover, address),
        viewers=glance.viewers if glance is not None and running else None,
    )
