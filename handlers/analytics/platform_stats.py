"""How the platform does."""

from typing import Annotated

from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.analytics import platform_stats
from market.analytics.platform_stats import (
    Name,
    PlatformStats,
    Series,
    SeriesStep,
)
from store.models import Role

Time = Annotated[int, Meta(ge=0, le=10**13)]


class SeriesQuery(Body, frozen=True, kw_only=True):
    """Which figure, from when until before when (ms), and the time that a point covers."""

    name: Name
    since: Time
    until: Time
    step: SeriesStep = SeriesStep.HOUR


class PlatformStatsHandler(AdminHandler):
    """GET: the stats of this moment and of the last 24 hours."""

    @operation(role=Role.MODERATOR)
    async def get(self) -> PlatformStats:
        return await self.use(platform_stats.now)


class SeriesHandler(AdminHandler):
    """GET: one figure through time, for a chart."""

    @operation(role=Role.MODERATOR)
    async def get(self, query: SeriesQuery) -> Series:
        return await self.use(platform_stats.series, query.name, query.since, query.until, query.step)


routes = [
    (r"/api/v1/admin/platform-stats", PlatformStatsHandler),
    (r"/api/v1/admin/platform-stats/series", SeriesHandler),
]
