"""Telling users' open sockets, after the commit. A push that fails is lost: the lists have what it was about."""

from collections.abc import Iterable
from uuid import UUID

import structlog
from redis import RedisError

from store.hot import Hot
from store.pushes import Push, publish

log = structlog.get_logger()


async def tell(hot: Hot, users: Iterable[UUID], push: Push) -> None:
    """Tell the users, if Redis is there."""
    try:
        await publish(hot, users, push)
    except RedisError as error:
        log.warning("push_lost", error=str(error))
