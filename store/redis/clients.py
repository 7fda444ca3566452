"""Connections to Redis that run calls, on asyncio and without.

No connection here repeats a command by itself: after a lost reply nobody knows whether a script ran, and redis-py's
default would run it again. Errors reach the caller as `redis.RedisError`.
"""

from collections.abc import Sequence
from typing import Any, Self, TypeVar, cast

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import NoScriptError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from store.redis.calls import Batch, Call

T = TypeVar("T")

TIMEOUT_S = 5
MAX_CONNECTIONS = 64


def ms(time: tuple[int, int]) -> int:
    """Redis's TIME (seconds, microseconds) in ms since the epoch."""
    return time[0] * 1000 + time[1] // 1000


class Hot:
    """Redis for asyncio: a pool of connections."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self.client = client

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect lazily to `url`."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=AsyncRetry(NoBackoff(), 0),
            # While it listens for notices of Redis's hosted service, redis-py hands out pooled connections that the
            # server has closed: after a restart of Redis, the first command on each would fail.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return cls(redis.asyncio.Redis.from_pool(pool))

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()

    async def ping(self) -> None:
        """Raise `redis.RedisError` unless Redis answers."""
        await self.client.ping()

    async def now_ms(self) -> int:
        """Redis's clock, ms since the epoch."""
        return ms(await self.client.time())

    async def run(self, call: Call[T] | Batch[T]) -> T:
        """Run a call once. A script is sent again only if Redis did not know it, and so did not run it."""
        if isinstance(call, Batch):
            pipe = self.client.pipeline(transaction=False)
            # Both kinds of pipelines take commands by the same methods.
            call.ask(cast(Pipeline, pipe))
            return call.parse(await pipe.execute(raise_on_error=call.strict))
        try:
            reply = await self.client.execute_command(*call.command())
        except NoScriptError:
            await self.client.script_load(call.script.text)
            reply = await self.client.execute_command(*call.command())
        return call.parse(reply)


class SyncHot:
    """Redis for Celery."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect lazily to `url`."""
        client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client)

    def now_ms(self) -> int:
        """Redis's clock, ms since the epoch."""
        return ms(self.client.time())

    def run(self, call: Call[T] | Batch[T]) -> T:
        """Run a call once. A script is sent again only if Redis did not know it, and so did not run it."""
        if isinstance(call, Batch):
            pipe = self.client.pipeline(transaction=False)
            call.ask(pipe)
            return call.parse(pipe.execute(raise_on_error=call.strict))
        try:
            reply: Any = self.client.execute_command(*call.command())
        except NoScriptError:
            self.client.script_load(call.script.text)
            reply = self.client.execute_command(*call.command())
        return call.parse(reply)

    def run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """Run scripts in one round trip, each once. An error of one is raised after all have run."""
        scripts = {call.script for call in calls}
        pipe = self.client.pipeline(transaction=False)
        for script in scripts:
            pipe.script_load(script.text)
        for call in calls:
            pipe.execute_command(*call.command())
        replies = pipe.execute()[len(scripts) :]
        return [call.parse(reply) for call, reply in zip(calls, replies, strict=True)]
