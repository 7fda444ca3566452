"""The watch list."""

from http import HTTPStatus
from uuid import UUID

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from handlers.listings.cards import CardsHandler
from market.errors import GeneralRefusal
from market.listings import search, watches
from market.listings.refusals import ListingRefusal
from market.listings.search import SearchPage


class WatchesHandler(CardsHandler):
    """GET: the auctions that you watch, including those that are over, the last added first."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> SearchPage:
        found = await self.use(search.watched, self.principal.user_id, query.cursor, query.limit)
        return await self.cards(found)


class WatchHandler(ApiHandler):
    """PUT: watch an auction. DELETE: stop watching it."""

    @operation(ListingRefusal.TOO_MANY_WATCHES, statuses=(HTTPStatus.NO_CONTENT,))
    async def put(self, auction_id: UUID) -> None:
        await self.use(watches.put, self.principal.user_id, auction_id)

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, auction_id: UUID) -> None:
        await self.use(watches.remove, self.principal.user_id, auction_id)


routes = [
    (r"/api/v1/me/watches", WatchesHandler),
    (rf"/api/v1/me/watches/{UUID_PATTERN}", WatchHandler),
]
