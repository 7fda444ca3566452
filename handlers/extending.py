"""Extending what an outage touched, in PostgreSQL and in Redis, after the use-case that orders it."""

from uuid import UUID

import msgspec
import structlog
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from handlers.mirroring import tell_viewers
from market.audit import Actor
from market.bidding import neighbourhood
from market.moderation import auction_actions
from store.database import Database
from store.redis.hot import Hot, extend_auction
from store.redis.records import ExtensionRecord

log = structlog.get_logger()

_NOTHING_TO_DO = ("already_extended", "closed")


class Extended(msgspec.Struct, frozen=True):
    """What an action has done this time. `unreached` could not be asked: repeat the action, which extends none
    twice."""

    action: UUID
    extended: list[UUID]
    unreached: list[UUID]


async def extend_touched(
    database: Database,
    hot: Hot,
    actor: Actor,
    action: UUID,
    began_at: int,
    ended_at: int,
    by_ms: int,
    reason: str,
) -> Extended:
    """Note the order, then extend by `by_ms` all that ran at any time from `began_at` to `ended_at` (ms) and has not
    ended.

    Refuses as `outages.touched`, before anything is extended.
    """
    times = (began_at, ended_at, by_ms)
    touched = await database.use(auction_actions.order_extension, actor, action, *times, reason)
    extended: list[UUID] = []
    unreached: list[UUID] = []
    for auction in touched.neighbourhood:
        try:
            mirror = await database.use(neighbourhood.extend, auction, action, by_ms)
        except SQLAlchemyError:
            # One that fails keeps no other from its time.
            log.exception("extension_failed", auction=str(auction), action=str(action))
            unreached.append(auction)
            continue
        if mirror is not None:
            extended.append(auction)
            await tell_viewers(hot, mirror)
    for auction in touched.live:
        try:
            answer = await hot.run(extend_auction(auction, action, by_ms))
        except RedisError as error:
            log.warning("extension_unknown", auction=str(auction), action=str(action), error=str(error))
            unreached.append(auction)
            continue
        if isinstance(answer, ExtensionRecord):
            extended.append(auction)
        elif answer.code not in _NOTHING_TO_DO:
            unreached.append(auction)
    return Extended(action, extended, unreached)
