"""Keeping others away, and telling moderators of them."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.base import UUID_PATTERN, ApiHandler
from handlers.operations import operation
from handlers.parsing import PROSE, Body, PageQuery
from market import blocks, reports
from market.blocks import BlockView
from market.pages import Page
from market.reports import ReportView
from store.models import ReportKind, ReportReason


class NewReport(Body, frozen=True, kw_only=True):
    """What a moderator should look at, and why."""

    kind: ReportKind
    id: UUID
    reason: ReportReason
    text: Annotated[str, Meta(max_length=2_000, pattern=PROSE)] = ""


class BlocksHandler(ApiHandler):
    """GET: whom the user has blocked."""

    @operation("invalid_cursor")
    async def get(self, query: PageQuery) -> Page[BlockView]:
        return await self.use(blocks.page, self.principal.user_id, query.cursor, query.limit)


class BlockHandler(ApiHandler):
    """PUT: block a user, who then can neither write to one, nor ask about or begin to bid on one's auctions. DELETE: no
    longer."""

    @classmethod
    def methods(cls) -> list[str]:
        return ["PUT", "DELETE", "OPTIONS"]

    @operation("forbidden", statuses=(HTTPStatus.NO_CONTENT,))
    async def put(self, user_id: UUID) -> None:
        await self.use(blocks.put, self.principal.user_id, user_id)

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, user_id: UUID) -> None:
        await self.use(blocks.remove, self.principal.user_id, user_id)


class ReportsHandler(ApiHandler):
    """POST: have a moderator look at an auction, a message, a question, a review or a user."""

    @operation("not_found", "forbidden", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: NewReport) -> ReportView:
        return await self.use(
            reports.make, self.principal.user_id, body.kind, body.id, body.reason, body.text
        )


routes = [
    (r"/api/v1/me/blocks", BlocksHandler),
    (rf"/api/v1/me/blocks/{UUID_PATTERN}", BlockHandler),
    (r"/api/v1/reports", ReportsHandler),
]
