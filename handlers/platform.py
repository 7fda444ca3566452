"""What the platform asks, allows and announces now, for everybody."""

from handlers.base import ApiHandler
from handlers.operations import operation
from market import platform
from market.platform import Platform


class PlatformHandler(ApiHandler):
    """GET: fees, switches, tables of increments to choose from, and announcements, as they are now."""

    public = True

    @operation()
    async def get(self) -> Platform:
        return await self.use(platform.view)


routes = [(r"/api/v1/platform", PlatformHandler)]
