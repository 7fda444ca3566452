"""Telling users' open sockets, after the commit. A push that fails is lost: the lists have what it was about."""

from collections.abc import Iterable
from uuid import UUID

import structlog
from redis import RedisError

from store.pushes import Push, publish_sync
from tasks.app import Resources

log = structlog.get_logger()


def tell(resources: Resources, users: Iterable[UUID], push: Push) -> None:
    """Tell the users, if Redis is there."""
    try:
        publish_sync(resources.hot, users, push)
    except RedisError as error:
        log.warning("push_lost", error=str(error))
