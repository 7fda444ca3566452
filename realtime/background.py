"""Tasks that run beside the sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from redis.exceptions import RedisError

log = structlog.get_logger()


async def every(seconds: float, work: Callable[..., Awaitable[None]], *args: object) -> None:
    """Do something again and again, whatever happens to it."""
    while True:
        try:
            await work(*args)
        except (RedisError, OSError) as failure:
            log.warning("redis_not_asked", work=work.__qualname__, error=str(failure))
        except Exception:
            log.exception("periodic_work_failed", work=work.__qualname__)
        await asyncio.sleep(seconds)


async def stop_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: a timeout inside redis-py may swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
