"""Reports: what users want a moderator to look at, and the queue of moderators."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import PROSE, Reason
from market.moderation import reports
from market.moderation.reports import OpenReports, ReportEntry, ReportView, Resolved
from market.pages import Page
from store.models import ReportKind, ReportOutcome, ReportReason, Role


class NewReport(Body, frozen=True, kw_only=True):
    """What a moderator should look at, and why."""

    kind: ReportKind
    id: UUID
    reason: ReportReason
    text: Annotated[str, Meta(max_length=2_000, pattern=PROSE)] = ""


class ReportResolution(Body, frozen=True, kw_only=True):
    """What becomes of the reports about a thing."""

    outcome: ReportOutcome
    reason: Reason


class ReportsHandler(ApiHandler):
    """POST: report an auction, a message, a question, a review or a user to the moderators."""

    @operation(GeneralRefusal.NOT_FOUND, GeneralRefusal.FORBIDDEN, statuses=(HTTPStatus.CREATED,))
    async def post(self, body: NewReport) -> ReportView:
        return await self.use(
            reports.make, self.principal.user_id, body.kind, body.id, body.reason, body.text
        )


class ReportQueueHandler(AdminHandler):
    """GET: the open reports, one item for each thing, the longest waiting first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.MODERATOR)
    async def get(self, query: PageQuery) -> Page[OpenReports]:
        return await self.use(reports.queue, query.cursor, query.limit)


class ReportHandler(AdminHandler):
    """GET: all reports about the thing that this one is about, oldest first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.MODERATOR)
    async def get(self, report_id: UUID, query: PageQuery) -> Page[ReportEntry]:
        return await self.use(reports.about, report_id, query.cursor, query.limit)


class ReportResolveHandler(AdminHandler):
    """POST: say what becomes of all open reports about the thing that this one is about."""

    @operation(GeneralRefusal.WRONG_STATE, role=Role.MODERATOR)
    async def post(self, report_id: UUID, body: ReportResolution) -> Resolved:
        return await self.use(reports.resolve, self.actor, report_id, body.outcome, body.reason)


routes = [
    (r"/api/v1/reports", ReportsHandler),
    (r"/api/v1/admin/reports", ReportQueueHandler),
    (rf"/api/v1/admin/reports/{UUID_PATTERN}", ReportHandler),
    (rf"/api/v1/admin/reports/{UUID_PATTERN}/resolve", ReportResolveHandler),
]
