"""All addresses of the Admin API."""

from handlers.admin import announcements, audit, catalogue, moderation, settings
from handlers.base import ApiHandler

routes: list[tuple[str, type[ApiHandler]]] = [
    *audit.routes,
    *moderation.routes,
    *settings.routes,
    *announcements.routes,
    *catalogue.routes,
]
