"""Tells users of other sockets and processes what a bid that was decided here means for them."""

import asyncio
from collections.abc import Sequence

import structlog
from redis import RedisError

from realtime.background import stop_all
from store.redis.clients import Hot
from store.redis.pushes import Told, publish

log = structlog.get_logger()


class Teller:
    """Publishes without keeping anybody waiting: what comes while a batch is on its way makes the next one."""

    def __init__(self, hot: Hot) -> None:
        self._hot = hot
        self._waiting: list[Told] = []
        self._task: asyncio.Task[None] | None = None

    def tell(self, told: Sequence[Told]) -> None:
        """Have users told. While Redis is away they are not."""
        self._waiting += told
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._publish())

    async def stop(self) -> None:
        """Stop notifying."""
        if self._task is not None:
            await stop_all([self._task])

    async def _publish(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._hot.run(publish(batch))
            except RedisError as error:
                log.warning("push_lost", error=str(error))
