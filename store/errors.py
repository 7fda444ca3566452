"""What is raised while a server that we need is away."""

import sqlalchemy.exc
from redis import RedisError

from store.media.interface import MediaUnavailable

AWAY = (
    MediaUnavailable,
    RedisError,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    sqlalchemy.exc.TimeoutError,
)
"""PostgreSQL, Redis or the media cannot be reached: whether the work was done is unknown."""
