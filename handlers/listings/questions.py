"""Questions about auctions, and their sellers' answers."""

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal
from market.fields import PROSE
from market.listings import questions
from market.listings.questions import QuestionView, SellerQuestion
from market.listings.refusals import ListingRefusal
from market.pages import Page


class PublicText(Body, frozen=True, kw_only=True):
    """A question or an answer."""

    text: Annotated[str, Meta(min_length=1, max_length=questions.MAX_TEXT, pattern=PROSE)]


class SellerQuestionsQuery(PageQuery, frozen=True, kw_only=True):
    """Which page, and whether only of those that wait for an answer."""

    unanswered: Literal["true", "false"] = "false"


class QuestionsHandler(ApiHandler):
    """GET: the questions about an auction, newest first. POST: ask one."""

    @classmethod
    def is_public(cls, method: str) -> bool:
        return method != "POST"

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, auction_id: UUID, query: PageQuery) -> Page[QuestionView]:
        return await self.use(questions.page, auction_id, query.cursor, query.limit)

    @operation(
        AccountRefusal.EMAIL_NOT_VERIFIED,
        AccountRefusal.SUSPENDED,
        ListingRefusal.OWN_AUCTION,
        AccountRefusal.BLOCKED,
        ListingRefusal.CLOSED,
        ListingRefusal.TOO_MANY_QUESTIONS,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
    )
    async def post(self, auction_id: UUID, body: PublicText) -> QuestionView:
        return await self.use_once(questions.ask, self.principal.user_id, auction_id, body.text)


class QuestionHandler(ApiHandler):
    """DELETE: take your own question back."""

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, question_id: UUID) -> None:
        await self.use(questions.take_back, self.principal.user_id, question_id)


class AnswerHandler(ApiHandler):
    """PUT: answer a question, or correct the answer."""

    @operation(GeneralRefusal.FORBIDDEN, ListingRefusal.CLOSED)
    async def put(self, question_id: UUID, body: PublicText) -> QuestionView:
        return await self.use(questions.answer, self.principal.user_id, question_id, body.text)


class SellerQuestionsHandler(ApiHandler):
    """GET: the questions about your own auctions, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: SellerQuestionsQuery) -> Page[SellerQuestion]:
        unanswered = query.unanswered == "true"
        return await self.use(
            questions.to_seller, self.principal.user_id, unanswered, query.cursor, query.limit
        )


routes = [
    (rf"/api/v1/auctions/{UUID_PATTERN}/questions", QuestionsHandler),
    (rf"/api/v1/questions/{UUID_PATTERN}", QuestionHandler),
    (rf"/api/v1/questions/{UUID_PATTERN}/answer", AnswerHandler),
    (r"/api/v1/seller/questions", SellerQuestionsHandler),
]
