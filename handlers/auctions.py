"""What everybody may see of auctions. Live prices are PostgreSQL's, about a second old: `/ws/live` has them at once."""

from typing import Literal
from uuid import UUID

from handlers.base import UUID_PATTERN, ApiHandler
from handlers.operations import operation
from handlers.parsing import PageQuery
from market import auctions
from market.auctions import AuctionView, BidView
from market.pages import Page


class AuctionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which auctions to list."""

    state: Literal["scheduled", "live", "closed"] | None = None


class AuctionsHandler(ApiHandler):
    """GET: the published auctions."""

    public = True

    @operation("invalid_cursor")
    async def get(self, query: AuctionsQuery) -> Page[AuctionView]:
        return await self.use(auctions.page, query.state, query.cursor, query.limit)


class AuctionHandler(ApiHandler):
    """GET: one auction. Its seller sees it as a draft, too."""

    public = True

    @operation("unauthenticated")
    async def get(self, auction_id: UUID) -> AuctionView:
        viewer = await self.viewer()
        return await self.use(auctions.get, auction_id, viewer.user_id if viewer else None)


class BidsHandler(ApiHandler):
    """GET: the bids that are in PostgreSQL, newest first, by paddle number."""

    public = True

    @operation("invalid_cursor")
    async def get(self, auction_id: UUID, query: PageQuery) -> Page[BidView]:
        return await self.use(auctions.bids, auction_id, query.cursor, query.limit)


routes = [
    (r"/api/v1/auctions", AuctionsHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}", AuctionHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}/bids", BidsHandler),
]
