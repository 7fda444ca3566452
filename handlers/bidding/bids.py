"""Bids on auctions of both kinds. A live auction is decided by the script that also serves the sockets, a neighbourhood
auction by PostgreSQL."""

from hashlib import sha256
from http import HTTPStatus
from uuid import UUID

import msgspec

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.idempotency import claim_of
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.accounts.refusals import AccountRefusal
from market.bidding import bids, history
from market.bidding.history import BidView, OwnBid
from market.bidding.refusals import BidRefusal
from market.errors import GeneralRefusal
from market.fields import Amount
from market.listings.refusals import ListingRefusal
from market.money.refusals import MoneyRefusal
from market.pages import Page
from market.places.refusals import PlaceRefusal
from market.platform.refusals import PlatformRefusal
from store.ids import new_id

REFUSALS = (
    AccountRefusal.EMAIL_NOT_VERIFIED,
    PlatformRefusal.SWITCHED_OFF,
    AccountRefusal.SUSPENDED,
    BidRefusal.CANCELLED,
    ListingRefusal.CLOSED,
    BidRefusal.NOT_OPEN,
    ListingRefusal.OWN_AUCTION,
    BidRefusal.NO_PADDLE,
    BidRefusal.OVER_LIMIT,
    BidRefusal.NOT_ABOVE_OWN_MAXIMUM,
    BidRefusal.BELOW_MINIMUM,
    BidRefusal.NO_BUY_NOW,
    AccountRefusal.BLOCKED,
    PlaceRefusal.NOT_A_NEIGHBOUR,
    MoneyRefusal.INSUFFICIENT_FUNDS,
    MoneyRefusal.BALANCE_TOO_LARGE,
)
"""What rules and ledger may refuse."""


class NewBid(Body, frozen=True, kw_only=True):
    """The most that the bidder would pay. The price only rises as far as other bids push it."""

    maximum: Amount


class Placed(msgspec.Struct, frozen=True):
    """An accepted bid or purchase as its bidder sees it, and the auction after it. Amounts in minor units, times in ms.
    `buy_now` is the buy-now price; null when it is not on offer, or no longer."""

    auction_id: UUID
    seq: int
    at: int
    paddle: int
    own_maximum: int
    leading: bool
    bought: bool
    price: int
    next_minimum: int
    ends_at: int
    extended: bool
    bids: int
    reserve_met: bool
    buy_now: int | None


class _PlacingHandler(ApiHandler):
    """Places bids and purchases."""

    async def place(self, auction_id: UUID, maximum: int | None) -> Placed:
        """Bid up to `maximum`, or buy without one.

        An `Idempotency-Key` becomes the bid's `ref`: rules and scripts know it again and answer what they answered, so
        no answer is stored beside the bid.
        """
        bidder = self.principal.user_id
        claim = claim_of(self.request, bidder)
        ref = str(new_id()) if claim is None else sha256(claim.key.encode()).hexdigest()
        record = await self.decide(bids.place, bidder, auction_id, ref, maximum)
        known = msgspec.structs.asdict(record)
        own = {
            "auction_id": auction_id,
            "own_maximum": record.maximum,
            "leading": record.leader == bidder,
            "buy_now": record.buy_now or None,
        }
        return msgspec.convert(known | own, Placed)


class BidsHandler(_PlacingHandler):
    """GET: the bids that are in PostgreSQL, newest first, by paddle number. POST: bid, or raise your own maximum."""

    @classmethod
    def is_public(cls, method: str) -> bool:
        return method != "POST"

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, auction_id: UUID, query: PageQuery) -> Page[BidView]:
        return await self.use(history.bids, auction_id, query.cursor, query.limit)

    @operation(*REFUSALS, statuses=(HTTPStatus.CREATED,), idempotent=True)
    async def post(self, auction_id: UUID, body: NewBid) -> Placed:
        return await self.place(auction_id, body.maximum)


class PurchaseHandler(_PlacingHandler):
    """POST: buy at once, which ends the auction."""

    @operation(*REFUSALS, statuses=(HTTPStatus.CREATED,), idempotent=True)
    async def post(self, auction_id: UUID) -> Placed:
        return await self.place(auction_id, None)


class OwnBidsHandler(ApiHandler):
    """GET: the auctions in which you have bid, newest first, and how you stand there."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> Page[OwnBid]:
        return await self.use(history.own_bids, self.principal.user_id, query.cursor, query.limit)


routes = [
    (rf"/api/v1/auctions/{UUID_PATTERN}/bids", BidsHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}/purchase", PurchaseHandler),
    (r"/api/v1/buyer/bids", OwnBidsHandler),
]
