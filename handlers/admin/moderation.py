"""What users have reported, and hiding what should not be seen."""

from uuid import UUID

from handlers.admin.base import AdminHandler, Reason
from handlers.base import UUID_PATTERN
from handlers.operations import operation
from handlers.parsing import Body, PageQuery
from market import moderation, reports
from market.moderation import Visibility
from market.pages import Page
from market.reports import OpenReports, ReportEntry, Resolved
from store.models import ReportOutcome, Role


class ReportResolution(Body, frozen=True, kw_only=True):
    """What becomes of the reports about a thing."""

    outcome: ReportOutcome
    reason: Reason


class Hiding(Body, frozen=True, kw_only=True):
    """Whether something is to be hidden."""

    hidden: bool
    reason: Reason


class ReportQueueHandler(AdminHandler):
    """GET: the open reports, one item for each thing, the longest waiting first."""

    @operation("invalid_cursor", role=Role.MODERATOR)
    async def get(self, query: PageQuery) -> Page[OpenReports]:
        return await self.use(reports.queue, query.cursor, query.limit)


class ReportHandler(AdminHandler):
    """GET: all reports about the thing that this one is about, oldest first."""

    @operation("invalid_cursor", role=Role.MODERATOR)
    async def get(self, report_id: UUID, query: PageQuery) -> Page[ReportEntry]:
        return await self.use(reports.about, report_id, query.cursor, query.limit)


class ReportResolveHandler(AdminHandler):
    """POST: say what becomes of all open reports about the thing that this one is about."""

    @operation("wrong_state", role=Role.MODERATOR)
    async def post(self, report_id: UUID, body: ReportResolution) -> Resolved:
        return await self.use(reports.resolve, self.actor, report_id, body.outcome, body.reason)


class AuctionHiddenHandler(AdminHandler):
    """PUT: hide an auction from all but those who take part, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, auction_id: UUID, body: Hiding) -> Visibility:
        return await self.use(moderation.hide_auction, self.actor, auction_id, body.hidden, body.reason)


class ReviewHiddenHandler(AdminHandler):
    """PUT: hide a review, which does not count then, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, review_id: UUID, body: Hiding) -> Visibility:
        return await self.use(moderation.hide_review, self.actor, review_id, body.hidden, body.reason)


class MessageHiddenHandler(AdminHandler):
    """PUT: hide a message of a chat, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, message_id: UUID, body: Hiding) -> Visibility:
        return await self.use(moderation.hide_message, self.actor, message_id, body.hidden, body.reason)


class QuestionHiddenHandler(AdminHandler):
    """PUT: hide a question about an auction, with its answer, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, question_id: UUID, body: Hiding) -> Visibility:
        return await self.use(moderation.hide_question, self.actor, question_id, body.hidden, body.reason)


routes = [
    (r"/api/v1/admin/reports", ReportQueueHandler),
    (rf"/api/v1/admin/reports/{UUID_PATTERN}", ReportHandler),
    (rf"/api/v1/admin/reports/{UUID_PATTERN}/resolve", ReportResolveHandler),
    (rf"/api/v1/admin/auctions/{UUID_PATTERN}/hidden", AuctionHiddenHandler),
    (rf"/api/v1/admin/reviews/{UUID_PATTERN}/hidden", ReviewHiddenHandler),
    (rf"/api/v1/admin/messages/{UUID_PATTERN}/hidden", MessageHiddenHandler),
    (rf"/api/v1/admin/questions/{UUID_PATTERN}/hidden", QuestionHiddenHandler),
]
