"""What the platform asks, allows and announces now, for everybody."""

from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from market.platform import settings
from market.platform.settings import Platform


class PlatformHandler(ApiHandler):
    """GET: fees, switches, tables of increments to choose from, and announcements, as they are now."""

    public = True

    @operation()
    async def get(self) -> Platform:
        return await self.use(settings.view)


routes = [(r"/api/v1/platform", PlatformHandler)]
