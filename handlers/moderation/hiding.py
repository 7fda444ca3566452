"""Hiding what should not be seen, and showing it again."""

from uuid import UUID

from handlers.http.admin import AdminHandler
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.fields import Reason
from market.moderation import hiding
from market.moderation.hiding import Visibility
from store.models import Role


class Hiding(Body, frozen=True, kw_only=True):
    """Whether something is to be hidden."""

    hidden: bool
    reason: Reason


class AuctionHiddenHandler(AdminHandler):
    """PUT: hide an auction from everyone but its participants, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, auction_id: UUID, body: Hiding) -> Visibility:
        return await self.use(hiding.hide_auction, self.actor, auction_id, body.hidden, body.reason)


class ReviewHiddenHandler(AdminHandler):
    """PUT: hide a review, which does not count then, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, review_id: UUID, body: Hiding) -> Visibility:
        return await self.use(hiding.hide_review, self.actor, review_id, body.hidden, body.reason)


class MessageHiddenHandler(AdminHandler):
    """PUT: hide a message of a chat, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, message_id: UUID, body: Hiding) -> Visibility:
        return await self.use(hiding.hide_message, self.actor, message_id, body.hidden, body.reason)


class QuestionHiddenHandler(AdminHandler):
    """PUT: hide a question about an auction, with its answer, or show it again."""

    @operation(role=Role.MODERATOR)
    async def put(self, question_id: UUID, body: Hiding) -> Visibility:
        return await self.use(hiding.hide_question, self.actor, question_id, body.hidden, body.reason)


routes = [
    (rf"/api/v1/admin/auctions/{UUID_PATTERN}/hidden", AuctionHiddenHandler),
    (rf"/api/v1/admin/reviews/{UUID_PATTERN}/hidden", ReviewHiddenHandler),
    (rf"/api/v1/admin/messages/{UUID_PATTERN}/hidden", MessageHiddenHandler),
    (rf"/api/v1/admin/questions/{UUID_PATTERN}/hidden", QuestionHiddenHandler),
]
