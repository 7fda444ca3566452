"""Selling: drafts, publishing, cancelling, the own auctions."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
import structlog
from redis import RedisError

from handlers.base import UUID_PATTERN, ApiHandler
from handlers.cancelling import Cancelled, complete
from handlers.operations import operation
from handlers.parsing import ONE_LINE, PROSE, Amount, Body, PageQuery
from market import auctions, cancelling, categories, hot_copies, listings
from market.auctions import AuctionView
from market.neighbourhoods import Radius
from market.pages import Page
from market.rules import BuyNowUntil
from store.hot import load_auction
from store.models import Condition

log = structlog.get_logger()


class NewSoftClose(Body, frozen=True, kw_only=True):
    """Times in ms, as in `market.auctions.SoftClose`."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class NewPlace(Body, frozen=True, kw_only=True):
    """Among which neighbours, as in `market.auctions.Place`."""

    neighbourhood_id: UUID
    radius: Radius


class NewAuction(Body, frozen=True, kw_only=True):
    """A draft, as in `market.auctions.Draft`, which checks what belongs together."""

    title: Annotated[str, msgspec.Meta(max_length=listings.MAX_TITLE, pattern=ONE_LINE)]
    description: Annotated[str, msgspec.Meta(max_length=listings.MAX_DESCRIPTION, pattern=PROSE)] = ""
    start_price: Amount
    increments: list[tuple[int, int]]
    opens_at: int | None = None
    ends_at: int
    soft_close: NewSoftClose | None = None
    reserve: Amount | None = None
    buy_now: Amount | None = None
    buy_now_until: BuyNowUntil | None = None
    place: NewPlace | None = None
    category: Annotated[str, msgspec.Meta(max_length=categories.MAX_CODE, pattern=categories.CODE)] = (
        categories.OTHER
    )
    condition: Condition | None = None


class SellerAuctionsHandler(ApiHandler):
    """POST: write a draft. GET: the own auctions, drafts included."""

    @operation("invalid_auction", "not_a_neighbour", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: NewAuction) -> AuctionView:
        draft = msgspec.convert(body, listings.Draft, from_attributes=True)
        view = await self.use(listings.create, self.principal.user_id, draft)
        self.set_header("Location", f"/api/v1/auctions/{view.id}")
        return view

    @operation("invalid_cursor")
    async def get(self, query: PageQuery) -> Page[AuctionView]:
        return await self.use(auctions.page, self.principal.user_id, query.cursor, query.limit)


class PublishHandler(ApiHandler):
    """POST: make a draft public, for good."""

    @operation(
        "email_not_verified",
        "forbidden",
        "wrong_state",
        "invalid_auction",
        "not_a_neighbour",
        idempotent=True,
    )
    async def post(self, auction_id: UUID) -> AuctionView:
        view = await self.use_once(listings.publish, self.principal.user_id, auction_id)
        # It is published whatever happens from here on: sweeps bring Redis what it lacks. A neighbourhood auction has
        # no hot state; its viewers' copy comes with the next sweep.
        hot = await self.use(hot_copies.hot_state, auction_id)
        if hot is not None:
            try:
                await self.services.hot.run(load_auction(hot))
            except RedisError as error:
                log.warning("load_left_to_sweep", auction=str(view.id), error=str(error))
        return view


class Reason(Body, frozen=True, kw_only=True):
    """Why, for everybody to read."""

    reason: Annotated[str, msgspec.Meta(max_length=cancelling.MAX_REASON, pattern=PROSE)] | None = None


class CancelHandler(ApiHandler):
    """POST: end an auction that nobody has bid on. Asked again, it answers the same."""

    @operation("forbidden", "wrong_state", "closed", "has_bids")
    async def post(self, auction_id: UUID, body: Reason) -> Cancelled:
        outcome = await self.use(cancelling.by_seller, self.principal.user_id, auction_id, body.reason)
        return await complete(self, outcome)


routes = [
    (r"/api/v1/seller/auctions", SellerAuctionsHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/publish", PublishHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/cancel", CancelHandler),
]
