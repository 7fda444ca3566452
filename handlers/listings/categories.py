"""What auctions are about: the tree of categories for everybody, and its administration."""

from typing import Annotated

import msgspec
from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.fields import DisplayName, Reason
from market.listings import categories
from market.listings.categories import Categories, CategoryRow, CategoryRows
from market.listings.refusals import ListingRefusal
from store.models import Role

CODE_PATTERN = r"([a-z0-9-]{1,40})"
"""The code of a category in a route."""

Code = Annotated[str, Meta(max_length=categories.MAX_CODE)]


class NewCategory(Body, frozen=True, kw_only=True):
    """A category, with nothing left out."""

    parent_code: Code | None
    name: DisplayName
    name_en: DisplayName
    position: Annotated[int, Meta(ge=0, le=1_000_000)]
    retired: bool
    reason: Reason


class CategoriesHandler(ApiHandler):
    """GET: the whole tree of categories."""

    public = True

    @operation()
    async def get(self) -> Categories:
        return await self.use(categories.tree)


class AdminCategoriesHandler(AdminHandler):
    """GET: every category, including retired ones."""

    @operation(role=Role.ADMIN)
    async def get(self) -> CategoryRows:
        return await self.use(categories.rows)


class AdminCategoryHandler(AdminHandler):
    """PUT: make a category, or rename, move, retire or restore an existing one."""

    @operation(ListingRefusal.INVALID_CATEGORY, role=Role.ADMIN)
    async def put(self, code: Code, body: NewCategory) -> CategoryRow:
        row = msgspec.convert(msgspec.structs.asdict(body) | {"code": code}, CategoryRow)
        return await self.use(categories.put, self.actor, row, body.reason)


routes = [
    (r"/api/v1/categories", CategoriesHandler),
    (r"/api/v1/admin/categories", AdminCategoriesHandler),
    (rf"/api/v1/admin/categories/{CODE_PATTERN}", AdminCategoryHandler),
]
