"""What everybody may see of auctions. Prices in a list are Redis's, as far as it answers; of one auction they are
PostgreSQL's, about a second old: `/ws/live` has them at once."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from handlers.listings.cards import CardsHandler
from market.bidding import history
from market.bidding.history import Prices
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, Amount
from market.listings import categories, photos, search
from market.listings.auction_views import StateFilter
from market.listings.photos import AuctionDetail
from market.listings.search import SearchPage, Sort, Wanted
from market.places import regions
from market.places.neighbourhoods import Radius
from market.places.refusals import PlaceRefusal
from store.models import AuctionKind, Condition, DeliveryMethod


class AuctionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which auctions to list, as in `market.listings.search.Wanted`, and in which order."""

    q: Annotated[str, Meta(max_length=search.MAX_QUERY, pattern=ONE_LINE)] | None = None
    category: Annotated[str, Meta(max_length=categories.MAX_CODE, pattern=categories.CODE)] | None = None
    region: Annotated[str, Meta(pattern=regions.CODE)] | None = None
    neighbourhood_id: UUID | None = None
    radius: Radius | None = None
    min_price: Amount | None = None
    max_price: Amount | None = None
    condition: Condition | None = None
    delivery: DeliveryMethod | None = None
    kind: AuctionKind | None = None
    state: StateFilter | None = None
    seller: UUID | None = None
    sort: Sort = Sort.NEWEST
    facets: Literal["true", "false"] = "false"


class AuctionsHandler(CardsHandler):
    """GET: search the published auctions."""

    public = True

    @operation(GeneralRefusal.INVALID_CURSOR, GeneralRefusal.UNAUTHENTICATED, PlaceRefusal.NOT_A_NEIGHBOUR)
    async def get(self, query: AuctionsQuery) -> SearchPage:
        viewer = await self.viewer()
        wanted = msgspec.convert(query, Wanted, from_attributes=True)
        found = await self.use(
            search.find,
            wanted,
            query.sort,
            query.cursor,
            query.limit,
            query.facets == "true",
            viewer.user_id if viewer else None,
        )
        return await self.cards(found)


class AuctionHandler(ApiHandler):
    """GET: one auction with its photos. Its seller sees it as a draft, too."""

    public = True

    @operation(GeneralRefusal.UNAUTHENTICATED)
    async def get(self, auction_id: UUID) -> AuctionDetail:
        viewer = await self.viewer()
        viewer_id = viewer.user_id if viewer else None
        return await self.use(photos.detail, auction_id, viewer_id, self.services.media.backend.url)


class PricesHandler(ApiHandler):
    """GET: how the price of an auction has risen, for a chart."""

    public = True

    @operation()
    async def get(self, auction_id: UUID) -> Prices:
        return await self.use(history.prices, auction_id)


routes = [
    (r"/api/v1/auctions", AuctionsHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}", AuctionHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}/prices", PricesHandler),
]
