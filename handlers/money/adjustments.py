"""Money that one admin wants to move and another one confirms."""

from http import HTTPStatus
from uuid import UUID

from handlers.http.admin import AdminHandler, Reasoned
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import Amount, Reason
from market.money import adjustments
from market.money.adjustments import AdjustmentView
from market.money.refusals import MoneyRefusal
from market.pages import Page
from store.models import AdjustmentState, Direction, Role


class AdjustmentsQuery(PageQuery, frozen=True, kw_only=True):
    """Which adjustments. What has expired counts as pending."""

    state: AdjustmentState | None = None


class NewAdjustment(Body, frozen=True, kw_only=True):
    """Whose wallet, which way and how much."""

    user_id: UUID
    direction: Direction
    amount: Amount
    reason: Reason


class AdjustmentsHandler(AdminHandler):
    """GET: the adjustments, newest first. POST: propose to move money into a wallet, or out of it."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.ADMIN)
    async def get(self, query: AdjustmentsQuery) -> Page[AdjustmentView]:
        return await self.use(adjustments.page, query.state, query.cursor, query.limit)

    @operation(GeneralRefusal.NOT_FOUND, statuses=(HTTPStatus.CREATED,), idempotent=True, role=Role.ADMIN)
    async def post(self, body: NewAdjustment) -> AdjustmentView:
        return await self.use_once(
            adjustments.propose,
            self.principal.user_id,
            body.user_id,
            body.direction,
            body.amount,
            body.reason,
        )


class ConfirmAdjustmentHandler(AdminHandler):
    """POST: confirm another admin's proposal, which moves the money."""

    @operation(
        GeneralRefusal.OWN_PROPOSAL,
        GeneralRefusal.WRONG_STATE,
        MoneyRefusal.INSUFFICIENT_FUNDS,
        MoneyRefusal.BALANCE_TOO_LARGE,
        idempotent=True,
        role=Role.ADMIN,
    )
    async def post(self, adjustment_id: UUID, body: Reasoned) -> AdjustmentView:
        return await self.use_once(adjustments.confirm, self.principal.user_id, adjustment_id, body.reason)


class RejectAdjustmentHandler(AdminHandler):
    """POST: reject or withdraw a proposal."""

    @operation(GeneralRefusal.WRONG_STATE, role=Role.ADMIN)
    async def post(self, adjustment_id: UUID, body: Reasoned) -> AdjustmentView:
        return await self.use(adjustments.reject, self.principal.user_id, adjustment_id, body.reason)


_ADJUSTMENT = rf"/api/v1/admin/adjustments/{UUID_PATTERN}"

routes = [
    (r"/api/v1/admin/adjustments", AdjustmentsHandler),
    (rf"{_ADJUSTMENT}/confirm", ConfirmAdjustmentHandler),
    (rf"{_ADJUSTMENT}/reject", RejectAdjustmentHandler),
]
