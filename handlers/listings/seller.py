"""Selling: drafts, edits, publishing, cancelling, copies, the seller's auctions and what became of them."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, Edit, PageQuery
from market import increments
from market.accounts.refusals import AccountRefusal
from market.analytics import seller_report
from market.analytics.seller_report import SellerReport
from market.bidding import cancelling, publishing
from market.bidding.cancelling import Cancelled
from market.bidding.refusals import BidRefusal
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, PROSE, Amount
from market.listings import auction_views, categories, listings
from market.listings.auction_views import AuctionView
from market.listings.refusals import ListingRefusal
from market.pages import Page
from market.places.neighbourhoods import Radius
from market.places.refusals import PlaceRefusal
from market.platform.refusals import PlatformRefusal
from market.rules import BuyNowUntil
from store.models import Condition, DeliveryMethod

AUCTIONS = "/api/v1/auctions"

Title = Annotated[str, msgspec.Meta(max_length=listings.MAX_TITLE, pattern=ONE_LINE)]
Description = Annotated[str, msgspec.Meta(max_length=listings.MAX_DESCRIPTION, pattern=PROSE)]
CategoryCode = Annotated[str, msgspec.Meta(max_length=categories.MAX_CODE, pattern=categories.CODE)]
Deliveries = Annotated[list[DeliveryMethod], msgspec.Meta(max_length=len(DeliveryMethod))]
TableName = Annotated[str, msgspec.Meta(max_length=increments.MAX_NAME, pattern=ONE_LINE)]
Month = Annotated[str, msgspec.Meta(max_length=7, pattern=r"\A20[0-9]{2}-(0[1-9]|1[0-2])\Z")]
"""A month of a calendar, such as 2026-03."""


class NewSoftClose(Body, frozen=True, kw_only=True):
    """Times in ms, as in `market.listings.auction_views.SoftClose`."""

    window_ms: int
    extension_ms: int
    cap_ms: int


class NewPlace(Body, frozen=True, kw_only=True):
    """Among which neighbours, as in `market.listings.auction_views.Place`."""

    neighbourhood_id: UUID
    radius: Radius


class NewAuction(Body, frozen=True, kw_only=True):
    """A draft, as in `market.listings.auction_views.Draft`, which checks what belongs together."""

    title: Title
    description: Description = ""
    start_price: Amount
    increments: list[tuple[int, int]] | None = None
    increment_table: TableName | None = None
    opens_at: int | None = None
    ends_at: int
    soft_close: NewSoftClose | None = None
    reserve: Amount | None = None
    buy_now: Amount | None = None
    buy_now_until: BuyNowUntil | None = None
    place: NewPlace | None = None
    category: CategoryCode = categories.OTHER
    condition: Condition | None = None
    deliveries: Deliveries = msgspec.field(default_factory=lambda: list(DeliveryMethod))


class AuctionEdit(Edit, frozen=True, kw_only=True):
    """New values of what a draft has, and `addendum`, a text to add; `market.listings.editing` says what may change
    when."""

    title: Title | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    start_price: Amount | UnsetType = UNSET
    increments: list[tuple[int, int]] | UnsetType | None = UNSET
    increment_table: TableName | UnsetType | None = UNSET
    opens_at: int | UnsetType | None = UNSET
    ends_at: int | UnsetType = UNSET
    soft_close: NewSoftClose | UnsetType | None = UNSET
    reserve: Amount | UnsetType | None = UNSET
    buy_now: Amount | UnsetType | None = UNSET
    buy_now_until: BuyNowUntil | UnsetType | None = UNSET
    place: NewPlace | UnsetType | None = UNSET
    category: CategoryCode | UnsetType = UNSET
    condition: Condition | UnsetType | None = UNSET
    deliveries: Deliveries | UnsetType = UNSET
    addendum: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=listings.MAX_ADDENDUM, pattern=PROSE)]
        | UnsetType
    ) = UNSET


class NewTimes(Body, frozen=True, kw_only=True):
    """When a copy opens (ms; left out: now) and ends (left out: after as long as the original was planned to run)."""

    opens_at: int | None = None
    ends_at: int | None = None


class SellerReportQuery(Body, frozen=True, kw_only=True):
    """The months `from` and `to`, both included."""

    first: Month | None = msgspec.field(default=None, name="from")
    last: Month | None = msgspec.field(default=None, name="to")


class SellerAuctionsHandler(ApiHandler):
    """POST: write a draft. GET: your own auctions, drafts included."""

    @operation(
        ListingRefusal.INVALID_AUCTION,
        PlaceRefusal.NOT_A_NEIGHBOUR,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
        found_at=AUCTIONS,
    )
    async def post(self, body: NewAuction) -> AuctionView:
        draft = msgspec.convert(body, listings.Draft, from_attributes=True)
        return await self.use_once(listings.create, self.principal.user_id, draft)

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> Page[AuctionView]:
        return await self.use(auction_views.page, self.principal.user_id, query.cursor, query.limit)


class SellerAuctionHandler(ApiHandler):
    """PATCH: edit your own auction, as far as it may change. DELETE: delete a draft and its photos, for good."""

    @operation(
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.INVALID_AUCTION,
        PlaceRefusal.NOT_A_NEIGHBOUR,
        edits=True,
    )
    async def patch(self, auction_id: UUID, body: AuctionEdit, version: int) -> AuctionView:
        return await self.use(listings.edit, self.principal.user_id, auction_id, version, body.changes())

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, auction_id: UUID) -> None:
        await self.use(listings.delete, self.principal.user_id, auction_id)


class DuplicateHandler(ApiHandler):
    """POST: make a draft from your own auction. Photos are not copied."""

    @operation(
        GeneralRefusal.FORBIDDEN,
        ListingRefusal.INVALID_AUCTION,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
        found_at=AUCTIONS,
    )
    async def post(self, auction_id: UUID, body: NewTimes) -> AuctionView:
        return await self.use_once(
            listings.duplicate, self.principal.user_id, auction_id, body.opens_at, body.ends_at
        )


class RelistHandler(ApiHandler):
    """POST: make a draft from your own auction that was not sold, and link the two. Photos are not copied."""

    @operation(
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.INVALID_AUCTION,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
        found_at=AUCTIONS,
    )
    async def post(self, auction_id: UUID, body: NewTimes) -> AuctionView:
        return await self.use_once(
            listings.relist, self.principal.user_id, auction_id, body.opens_at, body.ends_at
        )


class SellerReportHandler(ApiHandler):
    """GET: what you have sold, month by month."""

    @operation()
    async def get(self, query: SellerReportQuery) -> SellerReport:
        return await self.use(seller_report.of_seller, self.principal.user_id, query.first, query.last)


class PublishHandler(ApiHandler):
    """POST: publish a draft, for good."""

    @operation(
        PlatformRefusal.SWITCHED_OFF,
        AccountRefusal.EMAIL_NOT_VERIFIED,
        AccountRefusal.SUSPENDED,
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.INVALID_AUCTION,
        PlaceRefusal.NOT_A_NEIGHBOUR,
        idempotent=True,
    )
    async def post(self, auction_id: UUID) -> AuctionView:
        return await self.use_once(publishing.publish, self.principal.user_id, auction_id)


class Reason(Body, frozen=True, kw_only=True):
    """The reason, which is public."""

    reason: Annotated[str, msgspec.Meta(max_length=cancelling.MAX_REASON, pattern=PROSE)] | None = None


class CancelHandler(ApiHandler):
    """POST: cancel your own auction that nobody has bid on. Repeated, it answers the same."""

    @operation(
        GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, ListingRefusal.CLOSED, BidRefusal.HAS_BIDS
    )
    async def post(self, auction_id: UUID, body: Reason) -> Cancelled:
        return await self.decide(cancelling.by_seller, self.principal.user_id, auction_id, body.reason)


routes = [
    (r"/api/v1/seller/auctions", SellerAuctionsHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}", SellerAuctionHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/publish", PublishHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/cancel", CancelHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/duplicate", DuplicateHandler),
    (rf"/api/v1/seller/auctions/{UUID_PATTERN}/relist", RelistHandler),
    (r"/api/v1/seller/report", SellerReportHandler),
]
