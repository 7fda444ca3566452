"""Selling: drafts, publishing, the own auctions and orders."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
import structlog
from redis import RedisError

from handlers.base import UUID_PATTERN, ApiHandler
from handlers.parsing import ONE_LINE, PROSE, Amount, Body, PageQuery
from market import auctions, orders
from store.hot import load_auction

log = structlog.get_logger()


class NewSoftClose(Body, frozen=True, kw_only=True):
    """Times in ms, as in `market.auctions.SoftClose`."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class NewAuction(Body, frozen=True, kw_only=True):
    """A draft, as in `market.auctions.Draft`, which checks what belongs together."""

    title: Annotated[str, msgspec.Meta(max_length=auctions.MAX_TITLE, pattern=ONE_LINE)]
    description: Annotated[str, msgspec.Meta(max_length=auctions.MAX_DESCRIPTION, pattern=PROSE)] = ""
    start_price: Amount
    increments: list[tuple[int, int]]
    opens_at: int | None = None
    ends_at: int
    soft_close: NewSoftClose | None = None


class SellerAuctionsHandler(ApiHandler):
    """POST: write a draft. GET: the own auctions, drafts included."""

    async def post(self) -> None:
        body = self.parse_body(NewAuction)
        draft = msgspec.convert(body, auctions.Draft, from_attributes=True)
        view = await self.use(auctions.create, self.principal.user_id, draft)
        self.respond(view, HTTPStatus.CREATED, location=f"/api/v1/auctions/{view.id}")

    async def get(self) -> None:
        query = self.parse_query(PageQuery)
        page = await self.use(
            auctions.page, None, query.cursor, query.limit, seller_id=self.principal.user_id
        )
        self.respond(page)


class PublishHandler(ApiHandler):
    """POST: make a draft public, for good."""

    async def post(self, auction_id: str) -> None:
        async with self.services.database.transaction() as session:
            view = await session.run_sync(auctions.publish, self.principal.user_id, UUID(auction_id))
            hot = await session.run_sync(auctions.hot_state, view.id)
        if hot is not None:
            try:
                await self.services.hot.run(load_auction(hot))
            except RedisError as error:
                # It is published all the same: the sweep loads what Redis lacks as soon as Redis is back.
                log.warning("load_left_to_sweep", auction=str(view.id), error=str(error))
        self.respond(view)


class SellerOrdersHandler(ApiHandler):
    """GET: what the user has sold, newest first."""

    async def get(self) -> None:
        query = self.parse_query(PageQuery)
        self.respond(await self.use(orders.page, self.principal.user_id, "seller", query.cursor, query.limit))


routes = [
    (r"/api/v1/seller/auctions", SellerAuctionsHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/publish", PublishHandler),
    (r"/api/v1/seller/orders", SellerOrdersHandler),
]
