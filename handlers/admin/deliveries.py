"""Notifications that were given up."""

from handlers.admin.base import AdminHandler
from handlers.operations import operation
from handlers.parsing import PageQuery
from market import deliveries
from market.deliveries import DeadDelivery
from market.pages import Page
from store.models import Role


class DeadDeliveriesHandler(AdminHandler):
    """GET: what could not be sent and is not tried any more, the newest first."""

    @operation("invalid_cursor", role=Role.ADMIN)
    async def get(self, query: PageQuery) -> Page[DeadDelivery]:
        return await self.use(deliveries.dead, query.cursor, query.limit)


routes = [(r"/api/v1/admin/deliveries/dead", DeadDeliveriesHandler)]
