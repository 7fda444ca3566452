"""Telling people, after the commit, what PostgreSQL has decided about a neighbourhood auction."""

import structlog
from redis import RedisError

from market.bidding.neighbourhood import Mirror
from market.platform.alarms import Alarm
from store.redis import mirrors
from store.redis.hot import Hot

log = structlog.get_logger()


async def tell_viewers(hot: Hot, mirror: Mirror) -> None:
    """Bring the copy in Redis up to date. What Redis does not hear, a sweep brings."""
    auction = mirror.auction
    try:
        await hot.run(mirrors.mirror(auction, mirror.records, mirror.seal))
    except RedisError as error:
        log.warning("mirror_left_to_sweep", auction=str(auction.auction_id), error=str(error))
    if isinstance(mirror.settled, Alarm):
        reason = mirror.settled.reason.value
        log.critical("auction_alarm", reason=reason, auction=str(auction.auction_id))
