"""The regions of Korea: for everybody to look up, and for administrators to rename and retire."""

from typing import Annotated

from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, DisplayName, Reason
from market.pages import Page
from market.places import regions
from market.places.regions import RegionPath, RegionRow, RegionView
from store.models import Role

CODE_PATTERN = r"([0-9]{2,8})"
"""The code of a region in a route."""

Code = Annotated[str, Meta(pattern=regions.CODE)]
AnyCode = Annotated[str, Meta(max_length=40)]


class RegionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which regions to list: those in `parent`, and of them, at any depth, those that `q` finds."""

    parent: Code | None = None
    q: Annotated[str, Meta(max_length=50, pattern=ONE_LINE)] | None = None


class RegionChange(Body, frozen=True, kw_only=True):
    """The names of a region, and whether it is retired."""

    name: DisplayName
    name_en: DisplayName
    retired: bool
    reason: Reason


class RegionsHandler(ApiHandler):
    """GET: the 시/도, the regions in another one, or those that a name finds."""

    public = True

    @operation(GeneralRefusal.NOT_FOUND, GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: RegionsQuery) -> Page[RegionView]:
        return await self.use(regions.page, query.parent, query.q, query.cursor, query.limit)


class RegionHandler(ApiHandler):
    """GET: one region and those that contain it."""

    public = True

    @operation()
    async def get(self, code: Code) -> RegionPath:
        return await self.use(regions.get, code)


class AdminRegionHandler(AdminHandler):
    """PUT: rename a region; retire it with all regions in it, or restore it."""

    @operation(role=Role.ADMIN)
    async def put(self, code: AnyCode, body: RegionChange) -> RegionRow:
        return await self.use(
            regions.change, self.actor, code, body.name, body.name_en, body.retired, body.reason
        )


routes = [
    (r"/api/v1/regions", RegionsHandler),
    (rf"/api/v1/regions/{CODE_PATTERN}", RegionHandler),
    (r"/api/v1/admin/regions/([a-z0-9-]{1,40})", AdminRegionHandler),
]
