"""All addresses of the Admin API."""

from handlers.admin import audit
from handlers.base import ApiHandler

routes: list[tuple[str, type[ApiHandler]]] = [
    *audit.routes,
]
