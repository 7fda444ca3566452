"""Blocking other users."""

from http import HTTPStatus
from uuid import UUID

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from market.accounts import blocks
from market.accounts.blocks import BlockView
from market.errors import GeneralRefusal
from market.pages import Page


class BlocksHandler(ApiHandler):
    """GET: the users you have blocked."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> Page[BlockView]:
        return await self.use(blocks.page, self.principal.user_id, query.cursor, query.limit)


class BlockHandler(ApiHandler):
    """PUT: block a user, who then cannot write to you, ask about your auctions or begin to bid on them. DELETE:
    unblock."""

    @classmethod
    def methods(cls) -> list[str]:
        return ["PUT", "DELETE", "OPTIONS"]

    @operation(GeneralRefusal.FORBIDDEN, statuses=(HTTPStatus.NO_CONTENT,))
    async def put(self, user_id: UUID) -> None:
        await self.use(blocks.put, self.principal.user_id, user_id)

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, user_id: UUID) -> None:
        await self.use(blocks.remove, self.principal.user_id, user_id)


routes = [
    (r"/api/v1/me/blocks", BlocksHandler),
    (rf"/api/v1/me/blocks/{UUID_PATTERN}", BlockHandler),
]
