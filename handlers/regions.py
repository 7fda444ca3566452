"""The regions of Korea, for everybody."""

from typing import Annotated

from msgspec import Meta

from handlers.base import ApiHandler
from handlers.operations import operation
from handlers.parsing import ONE_LINE, PageQuery
from market import regions
from market.pages import Page
from market.regions import RegionPath, RegionView

CODE_PATTERN = r"([0-9]{2,8})"
"""The code of a region in a route."""

Code = Annotated[str, Meta(pattern=regions.CODE)]


class RegionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which regions to list: those in `parent`, and of them, at any depth, those that `q` finds."""

    parent: Code | None = None
    q: Annotated[str, Meta(max_length=50, pattern=ONE_LINE)] | None = None


class RegionsHandler(ApiHandler):
    """GET: the 시/도, the regions in another one, or those that a name finds."""

    public = True

    @operation("not_found", "invalid_cursor")
    async def get(self, query: RegionsQuery) -> Page[RegionView]:
        return await self.use(regions.page, query.parent, query.q, query.cursor, query.limit)


class RegionHandler(ApiHandler):
    """GET: one region and those that it lies in."""

    public = True

    @operation()
    async def get(self, code: Code) -> RegionPath:
        return await self.use(regions.get, code)


routes = [
    (r"/api/v1/regions", RegionsHandler),
    (rf"/api/v1/regions/{CODE_PATTERN}", RegionHandler),
]
