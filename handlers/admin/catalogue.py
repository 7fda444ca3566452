"""What auctions are about, and where."""

from typing import Annotated

import msgspec
from msgspec import Meta

from handlers.admin.base import AdminHandler, Reason
from handlers.operations import operation
from handlers.parsing import ONE_LINE, Body
from market import categories, regions
from market.categories import CategoryRow, CategoryRows
from market.regions import RegionRow
from store.models import Role

CODE_PATTERN = r"([a-z0-9-]{1,40})"
"""The code of a category or region in a route."""

Code = Annotated[str, Meta(max_length=categories.MAX_CODE)]
Name = Annotated[str, Meta(max_length=50, pattern=ONE_LINE)]


class NewCategory(Body, frozen=True, kw_only=True):
    """A category, with nothing left out."""

    parent_code: Code | None
    name: Name
    name_en: Name
    position: Annotated[int, Meta(ge=0, le=1_000_000)]
    retired: bool
    reason: Reason


class RegionChange(Body, frozen=True, kw_only=True):
    """What a region is called, and whether it is retired."""

    name: Name
    name_en: Name
    retired: bool
    reason: Reason


class AdminCategoriesHandler(AdminHandler):
    """GET: every category, the retired ones too."""

    @operation(role=Role.ADMIN)
    async def get(self) -> CategoryRows:
        return await self.use(categories.rows)


class AdminCategoryHandler(AdminHandler):
    """PUT: make a category, or rename, move, retire and bring back one that is there."""

    @operation("invalid_category", role=Role.ADMIN)
    async def put(self, code: Code, body: NewCategory) -> CategoryRow:
        row = msgspec.convert(msgspec.structs.asdict(body) | {"code": code}, CategoryRow)
        return await self.use(categories.put, self.actor, row, body.reason)


class AdminRegionHandler(AdminHandler):
    """PUT: rename a region; retire it with all that lies in it, or bring it back."""

    @operation(role=Role.ADMIN)
    async def put(self, code: Code, body: RegionChange) -> RegionRow:
        return await self.use(
            regions.change, self.actor, code, body.name, body.name_en, body.retired, body.reason
        )


routes = [
    (r"/api/v1/admin/categories", AdminCategoriesHandler),
    (rf"/api/v1/admin/categories/{CODE_PATTERN}", AdminCategoryHandler),
    (rf"/api/v1/admin/regions/{CODE_PATTERN}", AdminRegionHandler),
]
