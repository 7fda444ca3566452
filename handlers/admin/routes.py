"""All addresses of the Admin API."""

from handlers.admin import adjustments, audit, orders, users
from handlers.base import ApiHandler

routes: list[tuple[str, type[ApiHandler]]] = [
    *users.routes,
    *orders.routes,
    *adjustments.routes,
    *audit.routes,
]
