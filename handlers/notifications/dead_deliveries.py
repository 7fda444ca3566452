"""Notifications that were given up."""

from handlers.http.admin import AdminHandler
from handlers.http.operations import operation
from handlers.http.parsing import PageQuery
from market.errors import GeneralRefusal
from market.notifications import deliveries
from market.notifications.deliveries import DeadDelivery
from market.pages import Page
from store.models import Role


class DeadDeliveriesHandler(AdminHandler):
    """GET: the notifications that could not be delivered and are not tried again, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.ADMIN)
    async def get(self, query: PageQuery) -> Page[DeadDelivery]:
        return await self.use(deliveries.dead, query.cursor, query.limit)


routes = [(r"/api/v1/admin/deliveries/dead", DeadDeliveriesHandler)]
