"""Telling the viewers of a neighbourhood auction, after the commit, what PostgreSQL has decided."""

import structlog
from redis import RedisError

from handlers.base import ApiHandler
from market import bidding
from market.bidding import Mirror
from store import mirrors

log = structlog.get_logger()


async def tell_viewers(handler: ApiHandler, mirror: Mirror) -> None:
    """Bring the copy in Redis up to date. What Redis does not hear, the sweep tells."""
    auction = mirror.auction
    try:
        await handler.services.hot.run(mirrors.mirror(auction, mirror.records, mirror.seal))
    except RedisError as error:
        log.warning("mirror_left_to_sweep", auction=str(auction.auction_id), error=str(error))
        return
    await handler.use(bidding.mirrored, auction.auction_id, auction.seq)
