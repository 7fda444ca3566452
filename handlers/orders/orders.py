"""Orders: the lists of both parties, and every step from payment to the end."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
import segno
from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, PROSE
from market.money.refusals import MoneyRefusal
from market.orders import handovers, orders
from market.orders.orders import OrderView
from market.orders.refusals import OrderRefusal
from market.pages import Page
from market.rules import MAX_AMOUNT

Number = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Line = Annotated[str, Meta(max_length=200, pattern=ONE_LINE)]


class NewProposal(Body, frozen=True, kw_only=True):
    """Where and when (ms) to meet."""

    place: Line
    meet_at: Number


class Acceptance(Body, frozen=True, kw_only=True):
    """The number of the proposal that is accepted."""

    proposal: Number


class EnteredCode(Body, frozen=True, kw_only=True):
    """What the buyer has shown."""

    code: Annotated[str, Meta(max_length=6, pattern=r"\A[0-9]{6}\Z")]


class Shipment(Body, frozen=True, kw_only=True):
    """The carrier of the goods, and the tracking number."""

    carrier: Line
    tracking_number: Line


class ReportedProblem(Body, frozen=True, kw_only=True):
    """What is wrong with the goods, or that they did not arrive."""

    text: Annotated[str, Meta(min_length=1, max_length=2_000, pattern=PROSE)]


class HandoverCode(msgspec.Struct, frozen=True):
    """What the buyer shows to the seller: the code, and the same as the text and the picture (SVG) of a QR code."""

    code: str
    payload: str
    svg: str


class OrderHandlerBase(ApiHandler):
    """What the steps of an order share."""


class SellerOrdersHandler(ApiHandler):
    """GET: the orders in which you are the seller, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> Page[OrderView]:
        return await self.use(orders.page, self.principal.user_id, "seller", query.cursor, query.limit)


class BuyerOrdersHandler(ApiHandler):
    """GET: the orders in which you are the buyer, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: PageQuery) -> Page[OrderView]:
        return await self.use(orders.page, self.principal.user_id, "buyer", query.cursor, query.limit)


class OrderHandler(ApiHandler):
    """GET: one order, for its buyer and its seller."""

    @operation()
    async def get(self, order_id: UUID) -> OrderView:
        return await self.use(orders.get, self.principal.user_id, order_id)


class ProposalsHandler(OrderHandlerBase):
    """POST: propose where and when to hand over, instead of what was proposed before."""

    @operation(
        GeneralRefusal.WRONG_STATE,
        OrderRefusal.DELIVERY_NOT_OFFERED,
        GeneralRefusal.INVALID_TIME,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, order_id: UUID, body: NewProposal) -> OrderView:
        return await self.use(handovers.propose, self.principal.user_id, order_id, body.place, body.meet_at)


class AcceptHandler(OrderHandlerBase):
    """POST: accept the other party's proposal."""

    @operation(GeneralRefusal.WRONG_STATE, OrderRefusal.STALE_PROPOSAL, GeneralRefusal.OWN_PROPOSAL)
    async def post(self, order_id: UUID, body: Acceptance) -> OrderView:
        return await self.use(handovers.accept, self.principal.user_id, order_id, body.proposal)


class CodeHandler(OrderHandlerBase):
    """GET: the code that the buyer shows at the meeting, and its QR code."""

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE)
    async def get(self, order_id: UUID) -> HandoverCode:
        code = await self.use(handovers.code, self.principal.user_id, order_id, self.services.handover_keys)
        payload = f"neighborbid:handover:{order_id}:{code}"
        svg = segno.make_qr(payload, error="m").svg_inline(scale=4)
        return HandoverCode(code, payload, svg)


class CompleteHandoverHandler(OrderHandlerBase):
    """POST: enter the buyer's code, which pays the seller."""

    @operation(
        GeneralRefusal.FORBIDDEN,
        GeneralRefusal.WRONG_STATE,
        OrderRefusal.WRONG_CODE,
        OrderRefusal.CODE_LOCKED,
        OrderRefusal.TOO_MANY_TRIES,
        MoneyRefusal.BALANCE_TOO_LARGE,
        idempotent=True,
    )
    async def post(self, order_id: UUID, body: EnteredCode) -> OrderView:
        seller_id = self.principal.user_id
        await self.use(handovers.count_try, seller_id, order_id)
        return await self.use_once(
            handovers.complete, seller_id, order_id, body.code, self.services.handover_keys
        )


class NoShowHandler(OrderHandlerBase):
    """POST: report that the other party did not come."""

    @operation(GeneralRefusal.WRONG_STATE, OrderRefusal.TOO_EARLY)
    async def post(self, order_id: UUID) -> OrderView:
        return await self.use(handovers.report_no_show, self.principal.user_id, order_id)


class ContestHandler(OrderHandlerBase):
    """POST: contest the report that you did not come."""

    @operation(GeneralRefusal.WRONG_STATE, GeneralRefusal.FORBIDDEN)
    async def post(self, order_id: UUID) -> OrderView:
        return await self.use(handovers.contest, self.principal.user_id, order_id)


class ShipHandler(OrderHandlerBase):
    """POST: say that you have shipped the goods."""

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, OrderRefusal.DELIVERY_NOT_OFFERED)
    async def post(self, order_id: UUID, body: Shipment) -> OrderView:
        return await self.use(
            orders.ship, self.principal.user_id, order_id, body.carrier, body.tracking_number
        )


class ConfirmHandler(OrderHandlerBase):
    """POST: confirm that the goods arrived and are right, which pays the seller."""

    @operation(
        GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, MoneyRefusal.BALANCE_TOO_LARGE, idempotent=True
    )
    async def post(self, order_id: UUID) -> OrderView:
        return await self.use_once(orders.confirm, self.principal.user_id, order_id)


class ProblemHandler(OrderHandlerBase):
    """POST: report a problem with the goods, which keeps the money in escrow."""

    @operation(GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE)
    async def post(self, order_id: UUID, body: ReportedProblem) -> OrderView:
        return await self.use(orders.report_problem, self.principal.user_id, order_id, body.text)


class RefundHandler(OrderHandlerBase):
    """POST: refund the buyer in full."""

    @operation(
        GeneralRefusal.FORBIDDEN, GeneralRefusal.WRONG_STATE, MoneyRefusal.BALANCE_TOO_LARGE, idempotent=True
    )
    async def post(self, order_id: UUID) -> OrderView:
        return await self.use_once(orders.refund, self.principal.user_id, order_id)


_ORDER = rf"/api/v1/orders/{UUID_PATTERN}"

routes = [
    (r"/api/v1/seller/orders", SellerOrdersHandler),
    (r"/api/v1/buyer/orders", BuyerOrdersHandler),
    (_ORDER, OrderHandler),
    (rf"{_ORDER}/handover/proposals", ProposalsHandler),
    (rf"{_ORDER}/handover/accept", AcceptHandler),
    (rf"{_ORDER}/handover/code", CodeHandler),
    (rf"{_ORDER}/handover/complete", CompleteHandoverHandler),
    (rf"{_ORDER}/no-show", NoShowHandler),
    (rf"{_ORDER}/no-show/contest", ContestHandler),
    (rf"{_ORDER}/ship", ShipHandler),
    (rf"{_ORDER}/confirm", ConfirmHandler),
    (rf"{_ORDER}/problem", ProblemHandler),
    (rf"{_ORDER}/refund", RefundHandler),
]
