"""Reviews of completed orders, and what everybody may know of a user."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import PROSE
from market.orders import reviews
from market.orders.refusals import OrderRefusal
from market.orders.reviews import OwnReview, PublicProfile, ReviewView
from market.pages import Page


class NewReview(Body, frozen=True, kw_only=True):
    """A review of the other party."""

    stars: Annotated[int, Meta(ge=1, le=5)]
    text: Annotated[str, Meta(max_length=reviews.MAX_TEXT, pattern=PROSE)] = ""


class ReviewHandler(ApiHandler):
    """POST: review the other party of a completed order."""

    @operation(
        GeneralRefusal.WRONG_STATE,
        OrderRefusal.REVIEW_CLOSED,
        OrderRefusal.ALREADY_REVIEWED,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, order_id: UUID, body: NewReview) -> OwnReview:
        return await self.use(reviews.write, self.principal.user_id, order_id, body.stars, body.text)


class UserHandler(ApiHandler):
    """GET: the public profile of a user."""

    public = True

    @operation()
    async def get(self, user_id: UUID) -> PublicProfile:
        return await self.use(reviews.profile, user_id)


class UserReviewsHandler(ApiHandler):
    """GET: the reviews of a user, newest first."""

    public = True

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, user_id: UUID, query: PageQuery) -> Page[ReviewView]:
        return await self.use(reviews.page, user_id, query.cursor, query.limit)


routes = [
    (rf"/api/v1/orders/{UUID_PATTERN}/review", ReviewHandler),
    (rf"/api/v1/users/{UUID_PATTERN}", UserHandler),
    (rf"/api/v1/users/{UUID_PATTERN}/reviews", UserReviewsHandler),
]
