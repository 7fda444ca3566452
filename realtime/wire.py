"""One Redis connection used by hand: whatever one loop turn writes leaves in one go, and nothing is ever sent twice."""

import asyncio
import math
import random
from collections.abc import Callable, Iterable
from typing import Any

import hiredis
import redis.asyncio
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from realtime.background import stop_all

_CONNECT_S = 2.0
_BACKOFF_MIN_S = 0.05
_BACKOFF_MAX_S = 1.0

log = structlog.get_logger()


class Wire:
    """Connects, and connects again, until stopped. Replies come in the order of the commands.

    `on_connected` runs before anything is read or written, `on_reply` for each reply (an error reply as a
    `redis.ResponseError`) and `on_lost` when the connection is gone.
    """

    def __init__(
        self,
        url: str,
        *,
        on_connected: Callable[[], None],
        on_reply: Callable[[Any], None],
        on_lost: Callable[[], None],
    ) -> None:
        # RESP2: replies and messages are one plain sequence.
        self._pool: Any = redis.asyncio.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=_CONNECT_S,
            socket_connect_timeout=_CONNECT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._on_connected = on_connected
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._outbox: list[bytes] = []
        self._written = asyncio.Event()
        self._dropped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False

    def start(self) -> None:
        """Connect in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Disconnect for good."""
        if self._task is not None:
            await stop_all([self._task])

    def write(self, command: Iterable[str | int]) -> None:
        """Send a command at the end of this loop turn. Only while `connected`."""
        # hiredis types its argument as a tuple of one, but takes any number.
        self._outbox.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]
        self._written.set()

    def take_back(self) -> int:
        """Forget what was written in this loop turn and has not left; answers how many commands that was."""
        unsent = len(self._outbox)
        self._outbox.clear()
        return unsent

    def drop(self) -> None:
        """Give this connection up and make a new one."""
        self._dropped.set()

    async def _run(self) -> None:
        backoff_s = _BACKOFF_MIN_S
        while True:
            connection = self._pool.make_connection()
            try:
                await connection.connect()
                connection.socket_timeout = None
                backoff_s = _BACKOFF_MIN_S
                await self._use(connection)
            except (RedisError, OSError) as failure:
                log.warning("redis_unreachable", error=str(failure))
            except Exception:
                # Without a connection the process is of no use, so no fault may end this loop.
                log.exception("redis_connection_failed")
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1))  # noqa: S311
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    async def _use(self, connection: Any) -> None:
        self._outbox.clear()
        self._written.clear()
        self._dropped.clear()
        self.connected = True
        tasks: list[asyncio.Task[Any]] = []
        try:
            self._on_connected()
            tasks = [
                asyncio.create_task(work)
                for work in (self._read(connection), self._write(connection), self._dropped.wait())
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.connected = False
            await stop_all(tasks)
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(end, (RedisError, OSError)):
                    log.warning("redis_connection_lost", error=str(end))
                elif isinstance(end, Exception):
                    log.error("redis_connection_failed", exc_info=end)
            await connection.disconnect(nowait=True)
            self._on_lost()

    async def _read(self, connection: Any) -> None:
        while True:
            try:
                reply = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except ResponseError as refusal:
                reply = refusal
            self._on_reply(reply)

    async def _write(self, connection: Any) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            batch = b"".join(self._outbox)
            self._outbox.clear()
            await connection.send_packed_command(batch, check_health=False)
