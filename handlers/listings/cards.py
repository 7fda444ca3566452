"""Lists of cards, which show the prices of this moment."""

from uuid import UUID

import structlog
from redis import RedisError

from handlers.http.base import ApiHandler
from market.listings import search
from market.listings.search import Found, SearchPage
from store.redis import glances
from store.redis.glances import Glance

log = structlog.get_logger()


class CardsHandler(ApiHandler):
    """A handler that answers cards."""

    async def cards(self, found: Found) -> SearchPage:
        """The page, with what Redis knows of the auctions on it that are running."""
        return search.cards(found, await self._glances(found), self.services.media.backend.url)

    async def _glances(self, found: Found) -> dict[UUID, Glance]:
        """Without Redis, nothing."""
        running = found.running()
        if not running:
            return {}
        try:
            return await self.services.hot.run(glances.glances(running))
        except RedisError as error:
            log.warning("prices_not_live", error=str(error))
            return {}
