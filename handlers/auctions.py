"""What everybody may see of auctions. Live prices are PostgreSQL's, about a second old: `/ws/live` has them at once."""

from typing import Literal
from uuid import UUID

from handlers.base import UUID_PATTERN, ApiHandler
from handlers.media import MediaHandler
from handlers.operations import operation
from handlers.parsing import PageQuery
from market import auctions, photos
from market.auctions import AuctionView
from market.pages import Page
from market.photos import AuctionDetail


class AuctionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which auctions to list."""

    state: Literal["scheduled", "live", "closed"] | None = None


class AuctionsHandler(ApiHandler):
    """GET: the published auctions."""

    public = True

    @operation("invalid_cursor")
    async def get(self, query: AuctionsQuery) -> Page[AuctionView]:
        return await self.use(auctions.page, query.state, query.cursor, query.limit)


class AuctionHandler(MediaHandler):
    """GET: one auction with its photos. Its seller sees it as a draft, too."""

    public = True

    @operation("unauthenticated")
    async def get(self, auction_id: UUID) -> AuctionDetail:
        viewer = await self.viewer()
        viewer_id = viewer.user_id if viewer else None
        return await self.use(photos.detail, auction_id, viewer_id, self.media.backend.url)


routes = [
    (r"/api/v1/auctions", AuctionsHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}", AuctionHandler),
]
