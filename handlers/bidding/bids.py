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
from handlers.mirroring import tell_viewers
from market import rules
from market.accounts import accounts
from market.bidding import history, neighbourhood
from market.bidding.history import BidView, OwnBid
from market.errors import Refusal
from market.fields import Amount
from market.listings import auction_views
from market.pages import Page
from market.platform import settings
from store.ids import new_id
from store.models import AuctionKind
from store.redis import hot
from store.redis.pushes import outbid_by, publish
from store.redis.records import BidRecord, Rejection

REFUSALS = (
    "email_not_verified",
    "switched_off",
    "suspended",
    "cancelled",
    "closed",
    "not_open",
    "own_auction",
    "no_paddle",
    "over_limit",
    "not_above_own_maximum",
    "below_minimum",
    "no_buy_now",
    "blocked",
    "not_a_neighbour",
    "insufficient_funds",
    "balance_too_large",
)
"""What rules and ledger may refuse."""


class NewBid(Body, frozen=True, kw_only=True):
    """Up to how much to bid. The price only rises as far as others make it."""

    maximum: Amount


class Placed(msgspec.Struct, frozen=True):
    """An accepted bid or purchase as its bidder sees it, and the auction after it. Amounts in minor units, times in ms.
    `buy_now` is what it costs to buy at once; null when that is not on offer, or not any more."""

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
        kind = await self.use(auction_views.kind_of, auction_id)
        if kind == AuctionKind.LIVE:
            await self.use(accounts.require_not_suspended, bidder)
            record = await self._place_live(auction_id, bidder, ref, maximum)
        else:
            try:
                record, mirror = await self.use(neighbourhood.place, bidder, auction_id, ref, maximum)
            except Refusal as refusal:
                raise _as_rest(refusal) from refusal
            if mirror is not None:
                await tell_viewers(self.services.hot, mirror)
        known = msgspec.structs.asdict(record)
        own = {
            "auction_id": auction_id,
            "own_maximum": record.maximum,
            "leading": record.leader == bidder,
            "buy_now": record.buy_now or None,
        }
        return msgspec.convert(known | own, Placed)

    async def _place_live(self, auction_id: UUID, bidder: UUID, ref: str, maximum: int | None) -> BidRecord:
        await self.use(settings.require, "live_bidding")
        if maximum is None:
            call = hot.buy_now(auction_id, bidder, ref)
        else:
            call = hot.place_bid(auction_id, bidder, ref, maximum)
        answer = await self.services.hot.run(call)
        if isinstance(answer, Rejection):
            code = rules.Code(answer.code)
            raise _as_rest(
                Refusal(
                    code,
                    rules.REASONS[code],
                    price=answer.price,
                    next_minimum=answer.next_minimum,
                    ends_at=answer.ends_at,
                )
            )
        await publish(self.services.hot, outbid_by(answer))
        return answer


def _as_rest(refusal: Refusal) -> Refusal:
    """The refusal under the name that it has all over this door."""
    names = {"unknown_auction": "unavailable", "ref_reused": "idempotency_key_reused"}
    return Refusal(names.get(refusal.code, refusal.code), refusal.detail, **refusal.fields)


class BidsHandler(_PlacingHandler):
    """GET: the bids that are in PostgreSQL, newest first, by paddle number. POST: bid, or raise the own maximum."""

    @classmethod
    def is_public(cls, method: str) -> bool:
        return method != "POST"

    @operation("invalid_cursor")
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
    """GET: the auctions that the user has bid in, the last made first, and how the user stands there."""

    @operation("invalid_cursor")
    async def get(self, query: PageQuery) -> Page[OwnBid]:
        return await self.use(history.own_bids, self.principal.user_id, query.cursor, query.limit)


routes = [
    (rf"/api/v1/auctions/{UUID_PATTERN}/bids", BidsHandler),
    (rf"/api/v1/auctions/{UUID_PATTERN}/purchase", PurchaseHandler),
    (r"/api/v1/buyer/bids", OwnBidsHandler),
]
