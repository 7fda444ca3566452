"""What auctions are about, for everybody."""

from handlers.base import ApiHandler
from handlers.operations import operation
from market import categories
from market.categories import Categories


class CategoriesHandler(ApiHandler):
    """GET: the whole tree of categories."""

    public = True

    @operation()
    async def get(self) -> Categories:
        return await self.use(categories.tree)


routes = [(r"/api/v1/categories", CategoriesHandler)]
