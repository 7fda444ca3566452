"""What those with a role do to auctions that run."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.admin import AdminHandler, Reasoned
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.bidding import outage_extensions
from market.bidding.cancelling import Cancelled
from market.bidding.outage_extensions import Extended, Outage
from market.errors import GeneralRefusal
from market.fields import Reason
from market.listings.refusals import ListingRefusal
from market.moderation import auction_actions
from market.money.refusals import MoneyRefusal
from store.models import Role

Time = Annotated[int, Meta(ge=0, le=10**13)]


class OutageOrder(Body, frozen=True, kw_only=True):
    """From when until when (ms) the outage lasted, and by how much to extend what it touched. `action` names this
    order: repeated under the same name, it extends nothing twice."""

    action: UUID
    began_at: Time
    ended_at: Time
    by_ms: int
    reason: Reason


class AdminCancelHandler(AdminHandler):
    """POST: cancel an auction that is not settled yet, despite its bids; every hold is released."""

    @operation(
        GeneralRefusal.WRONG_STATE,
        ListingRefusal.CLOSED,
        GeneralRefusal.UNAVAILABLE,
        MoneyRefusal.BALANCE_TOO_LARGE,
        role=Role.MODERATOR,
    )
    async def post(self, auction_id: UUID, body: Reasoned) -> Cancelled:
        return await self.decide(auction_actions.cancel_auction, self.actor, auction_id, body.reason)


class OutagesHandler(AdminHandler):
    """POST: extend every auction that an outage touched, once for each action."""

    @operation(GeneralRefusal.INVALID_TIME, GeneralRefusal.IDEMPOTENCY_KEY_REUSED, role=Role.ADMIN)
    async def post(self, body: OutageOrder) -> Extended:
        outage = Outage(body.action, body.began_at, body.ended_at, body.by_ms)
        touched = await self.use(auction_actions.order_extension, self.actor, outage, body.reason)
        outcomes = await self.services.database.decide_each(outage_extensions.extend, touched, outage)
        return outage_extensions.report(outage, outcomes)


routes = [
    (rf"/api/v1/admin/auctions/{UUID_PATTERN}/cancel", AdminCancelHandler),
    (r"/api/v1/admin/outages", OutagesHandler),
]
