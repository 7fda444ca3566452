"""All addresses of the Admin API."""

from handlers.admin import (
    adjustments,
    announcements,
    auctions,
    audit,
    catalogue,
    deliveries,
    figures,
    moderation,
    orders,
    settings,
    signals,
    users,
)
from handlers.base import ApiHandler

routes: list[tuple[str, type[ApiHandler]]] = [
    *users.routes,
    *orders.routes,
    *adjustments.routes,
    *audit.routes,
    *moderation.routes,
    *auctions.routes,
    *settings.routes,
    *announcements.routes,
    *catalogue.routes,
    *figures.routes,
    *deliveries.routes,
    *signals.routes,
]
