"""Orders whose two parties do not agree."""

from uuid import UUID

from handlers.http.admin import AdminHandler
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import Reason
from market.money.refusals import MoneyRefusal
from market.orders import disputes
from market.orders.disputes import Dispute, DisputeFile, Outcome
from market.pages import Page
from store.models import Role


class Resolution(Body, frozen=True, kw_only=True):
    """Who gets the escrow: the seller (`complete`) or the buyer (`refund`)."""

    outcome: Outcome
    reason: Reason


class DisputesHandler(AdminHandler):
    """GET: the orders that wait for a moderator, the oldest first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.MODERATOR)
    async def get(self, query: PageQuery) -> Page[Dispute]:
        return await self.use(disputes.page, query.cursor, query.limit)


class DisputeHandler(AdminHandler):
    """GET: one such order, or a decided one, with its steps and its chat. Each reading is noted in the
    audit log."""

    @operation(role=Role.MODERATOR)
    async def get(self, order_id: UUID) -> DisputeFile:
        return await self.use(disputes.read, self.actor, order_id)


class ResolveHandler(AdminHandler):
    """POST: decide an order whose parties disagree, which moves its escrow."""

    @operation(
        GeneralRefusal.WRONG_STATE, MoneyRefusal.BALANCE_TOO_LARGE, idempotent=True, role=Role.MODERATOR
    )
    async def post(self, order_id: UUID, body: Resolution) -> Dispute:
        return await self.use_once(disputes.resolve, self.actor, order_id, body.outcome, body.reason)


routes = [
    (r"/api/v1/admin/disputes", DisputesHandler),
    (rf"/api/v1/admin/disputes/{UUID_PATTERN}", DisputeHandler),
    (rf"/api/v1/admin/disputes/{UUID_PATTERN}/resolve", ResolveHandler),
]
