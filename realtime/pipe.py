"""The way of a bid to Redis: all scripts of one loop turn in one write, none of them ever run twice."""

import asyncio
import time
from collections import deque
from typing import Any, TypeVar

from redis.exceptions import NoScriptError, ResponseError

from realtime.background import stop_all
from realtime.limits import Limits
from realtime.wire import Wire
from store.redis.calls import Call

T = TypeVar("T")


class Unavailable(Exception):
    """Redis cannot be asked now. The script has not run."""


class OutcomeUnknown(Exception):
    """The answer was lost. The script has run once or not at all."""


class Pipe:
    """Runs scripts over one connection. Redis answers in order, so the oldest call tells whether an answer is late."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._limits = limits
        self._pending: deque[tuple[Call[Any], asyncio.Future[Any], float]] = deque()
        self._wire = Wire(url, on_connected=lambda: None, on_reply=self._answer, on_lost=self._lose)
        self._watch: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether a call would be sent."""
        return self._wire.connected

    def start(self) -> None:
        """Connect in the background."""
        self._wire.start()
        self._watch = asyncio.create_task(self._watch_deadline())

    async def stop(self) -> None:
        """Disconnect; what is pending fails."""
        if self._watch is not None:
            await stop_all([self._watch])
        await self._wire.stop()

    def run(self, call: Call[T]) -> "asyncio.Future[T]":
        """Run a script once. The future raises `OutcomeUnknown` if the answer is lost; raises `Unavailable` at once."""
        if not self._wire.connected:
            raise Unavailable("Redis is away")
        if len(self._pending) >= self._limits.pending_commands:
            raise Unavailable("too many commands are on their way")
        return self._send(call, call.command(), asyncio.get_running_loop().create_future())

    def _send(
        self, call: Call[T], command: list[str | int], future: "asyncio.Future[T]"
    ) -> "asyncio.Future[T]":
        self._pending.append((call, future, time.monotonic()))
        self._wire.write(command)
        return future

    def _answer(self, reply: Any) -> None:
        call, future, _ = self._pending.popleft()
        if isinstance(reply, NoScriptError):
            # It has not run. EVAL runs it and makes it known.
            self._send(call, ["EVAL", call.script.text, *call.command()[2:]], future)
        elif future.done():
            return
        elif isinstance(reply, ResponseError):
            future.set_exception(reply)
        else:
            try:
                future.set_result(call.parse(reply))
            except Exception as failure:
                future.set_exception(failure)

    def _lose(self) -> None:
        unsent = self._wire.take_back()
        sent = len(self._pending) - unsent
        for position, (_, future, _) in enumerate(self._pending):
            if not future.done():
                future.set_exception(OutcomeUnknown() if position < sent else Unavailable("Redis is away"))
        self._pending.clear()

    async def _watch_deadline(self) -> None:
        while True:
            await asyncio.sleep(self._limits.command_s / 8)
            if self._pending and time.monotonic() - self._pending[0][2] > self._limits.command_s:
                self._wire.drop()
