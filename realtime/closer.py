"""Ends auctions on time. Every process tries; the script decides, once."""

import asyncio
from functools import partial
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from realtime.background import stop_all
from realtime.clock import Clock
from realtime.pipe import OutcomeUnknown, Pipe, Unavailable
from store.redis import auctions
from store.redis.auctions import seal_auction
from store.redis.clients import Hot
from store.redis.records import NotYet, SealRecord

log = structlog.get_logger()

LOOK_AHEAD_MS = 2000
"""Ends that are nearer than this get a timer of their own."""


class Closer:
    """Timers for the auctions that end soon."""

    def __init__(self, hot: Hot, pipe: Pipe, clock: Clock) -> None:
        self._hot = hot
        self._pipe = pipe
        self._clock = clock
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    async def look(self) -> None:
        """Find what ends soon. To be called every second. Raises `redis.RedisError`."""
        for auction, ends_at in await self._hot.run(auctions.due(self._clock.now() + LOOK_AHEAD_MS)):
            if auction not in self._tasks:
                task = asyncio.create_task(self._close(auction, ends_at))
                self._tasks[auction] = task
                task.add_done_callback(partial(self._forget, auction))

    def _forget(self, auction: UUID, _: object) -> None:
        del self._tasks[auction]

    async def stop(self) -> None:
        """Leave the rest to the other processes."""
        await stop_all(self._tasks.values())

    async def _close(self, auction: UUID, ends_at: int) -> None:
        """Seal at `ends_at`, or at the new end if it was extended meanwhile but still is near."""
        delay_ms = ends_at - self._clock.now()
        while True:
            await asyncio.sleep(max(0, delay_ms) / 1000)
            try:
                answer = await self._pipe.run(seal_auction(auction))
            except (Unavailable, OutcomeUnknown, RedisError) as failure:
                log.warning("seal_failed", auction=str(auction), error=repr(failure))
                return
            if isinstance(answer, SealRecord):
                log.info(
                    "auction_sealed", auction=str(auction), seq=answer.seq, late_ms=answer.at - answer.ends_at
                )
                return
            if not isinstance(answer, NotYet) or answer.ends_at - answer.at > LOOK_AHEAD_MS:
                return
            # By Redis's own word, at least 1 ms: if our estimate of its clock is early, asking by it would never end.
            delay_ms = answer.ends_at - answer.at
