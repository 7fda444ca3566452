"""Telling people, after the commit, what PostgreSQL has decided about a neighbourhood auction."""

import structlog
from redis import RedisError

from handlers.base import ApiHandler
from handlers.pushing import tell
from market.alarms import Alarm
from market.bidding import Mirror
from store import mirrors

log = structlog.get_logger()


async def tell_viewers(handler: ApiHandler, mirror: Mirror) -> None:
    """Bring the copy in Redis up to date, and tell both sides of an order. What Redis does not hear, a sweep brings."""
    auction = mirror.auction
    try:
        await handler.services.hot.run(mirrors.mirror(auction, mirror.records, mirror.seal))
    except RedisError as error:
        log.warning("mirror_left_to_sweep", auction=str(auction.auction_id), error=str(error))
    settled = mirror.settled
    if isinstance(settled, Alarm):
        log.critical("auction_alarm", reason=settled.reason.value, auction=str(auction.auction_id))
    elif settled is not None and settled.push is not None:
        await tell(handler.services.hot, settled.parties, settled.push)
