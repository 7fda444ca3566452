"""What looks like fraud."""

from typing import Literal
from uuid import UUID

from handlers.http.admin import AdminHandler, Reasoned
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from market.errors import GeneralRefusal
from market.moderation import fraud_signals
from market.moderation.fraud_signals import FraudSignalView
from market.pages import Page
from store.models import FraudSignalKind, Role


class FraudSignalsQuery(PageQuery, frozen=True, kw_only=True):
    """Which signals."""

    state: Literal["open", "reviewed"] = "open"
    kind: FraudSignalKind | None = None


class FraudSignalsHandler(AdminHandler):
    """GET: the open or the reviewed signs of fraud, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.MODERATOR)
    async def get(self, query: FraudSignalsQuery) -> Page[FraudSignalView]:
        reviewed = query.state == "reviewed"
        return await self.use(fraud_signals.page, reviewed, query.kind, query.cursor, query.limit)


class FraudSignalReviewHandler(AdminHandler):
    """POST: mark a sign as reviewed, with what came of it."""

    @operation(GeneralRefusal.WRONG_STATE, role=Role.MODERATOR)
    async def post(self, signal_id: UUID, body: Reasoned) -> FraudSignalView:
        return await self.use(fraud_signals.review, self.actor, signal_id, body.reason)


routes = [
    (r"/api/v1/admin/fraud-signals", FraudSignalsHandler),
    (rf"/api/v1/admin/fraud-signals/{UUID_PATTERN}/review", FraudSignalReviewHandler),
]
