"""Buying: the paddle, the ticket for a live socket."""

from http import HTTPStatus
from uuid import UUID

import msgspec

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.accounts import accounts
from market.accounts.refusals import AccountRefusal
from market.bidding import paddles
from market.bidding.paddles import PaddleView
from market.bidding.refusals import BidRefusal
from market.fields import Amount
from market.listings.refusals import ListingRefusal
from market.money.refusals import MoneyRefusal
from store.models import PaddleStatus
from store.redis.tickets import TICKET_TTL_S, put_ticket

MONEY = (MoneyRefusal.INSUFFICIENT_FUNDS, MoneyRefusal.BALANCE_TOO_LARGE, MoneyRefusal.HOLD_RESOLVED)
"""What the ledger may refuse when money is held or released."""


class PaddleLimit(Body, frozen=True, kw_only=True):
    """The limit up to which the paddle may bid."""

    limit: Amount


class LiveTicket(msgspec.Struct, frozen=True):
    """A ticket for one live socket, and how long it is valid (ms)."""

    ticket: str
    expires_in_ms: int


class PaddleHandler(ApiHandler):
    """POST: take a paddle in an auction. GET: your paddle. PATCH: raise its limit. DELETE: give it back."""

    @operation(
        AccountRefusal.EMAIL_NOT_VERIFIED,
        AccountRefusal.SUSPENDED,
        ListingRefusal.OWN_AUCTION,
        AccountRefusal.BLOCKED,
        BidRefusal.WRONG_KIND,
        ListingRefusal.CLOSED,
        BidRefusal.PADDLE_TAKEN,
        BidRefusal.PADDLE_RETURNING,
        *MONEY,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
    )
    async def post(self, auction_id: UUID, body: PaddleLimit) -> PaddleView:
        self.set_header("Location", self.request.path)
        return await self.use_once(paddles.take, self.principal.user_id, auction_id, body.limit)

    @operation(BidRefusal.NO_PADDLE)
    async def get(self, auction_id: UUID) -> PaddleView:
        return await self.use(paddles.get, self.principal.user_id, auction_id)

    @operation(
        AccountRefusal.SUSPENDED,
        BidRefusal.NO_PADDLE,
        BidRefusal.WRONG_KIND,
        ListingRefusal.CLOSED,
        BidRefusal.LIMIT_NOT_RAISED,
        *MONEY,
        idempotent=True,
        edits=True,
    )
    async def patch(self, auction_id: UUID, body: PaddleLimit, version: int) -> PaddleView:
        return await self.use_once(
            paddles.raise_limit, self.principal.user_id, auction_id, body.limit, version
        )

    @operation(
        BidRefusal.NO_PADDLE,
        BidRefusal.WRONG_KIND,
        ListingRefusal.CLOSED,
        BidRefusal.PADDLE_LEADING,
        BidRefusal.PADDLE_CHANGED,
        *MONEY,
        statuses=(HTTPStatus.OK, HTTPStatus.ACCEPTED),
    )
    async def delete(self, auction_id: UUID) -> PaddleView:
        paddle = await self.decide(paddles.give_back, self.principal.user_id, auction_id)
        if paddle.status == PaddleStatus.RETURNING:
            self.set_status(HTTPStatus.ACCEPTED)
        return paddle


class TicketsHandler(ApiHandler):
    """POST: a ticket that opens one live socket once."""

    @operation(AccountRefusal.SUSPENDED, statuses=(HTTPStatus.CREATED,))
    async def post(self) -> LiveTicket:
        # Scripts know nothing of suspensions; watching needs no ticket.
        await self.use(accounts.require_not_suspended, self.principal.user_id)
        ticket = await self.services.hot.run(put_ticket(self.principal.user_id, self.principal.session_id))
        return LiveTicket(ticket, TICKET_TTL_S * 1000)


routes = [
    (rf"/api/v1/auctions/{UUID_PATTERN}/paddle", PaddleHandler),
    (r"/api/v1/ws-tickets", TicketsHandler),
]
