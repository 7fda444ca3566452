"""Hears what the scripts publish: one connection for the sharded channels of all rooms of this process."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.exceptions import ResponseError

from realtime.background import stop_all
from realtime.limits import Limits
from realtime.wire import Wire

log = structlog.get_logger()


class Subscriber:
    """Keeps the wanted channels subscribed through every loss of connection.

    `on_subscribed(channel)` runs whenever a subscription took effect: from then on nothing is missed, but what came
    before may have been. `on_message(channel, text)` runs for each message. `on_lost` runs when nothing is heard any
    more, `on_connected` when the connection is back.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        on_subscribed: Callable[[str], None],
        on_message: Callable[[str, bytes], None],
        on_connected: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._on_subscribed = on_subscribed
        self._on_message = on_message
        self._on_connected = on_connected
        self._channels: set[str] = set()
        self._heard = False
        self._wire = Wire(url, on_connected=self._connect, on_reply=self._hear, on_lost=on_lost)
        self._watch: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether messages are heard."""
        return self._wire.connected

    def start(self) -> None:
        """Connect in the background."""
        self._wire.start()
        self._watch = asyncio.create_task(self._heartbeat())

    async def stop(self) -> None:
        """Disconnect."""
        if self._watch is not None:
            await stop_all([self._watch])
        await self._wire.stop()

    def subscribe(self, channel: str) -> None:
        """Want a channel, now or as soon as Redis is there."""
        self._channels.add(channel)
        self._command("SSUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Want a channel no more."""
        self._channels.discard(channel)
        self._command("SUNSUBSCRIBE", channel)

    def _command(self, *words: str) -> None:
        if self._wire.connected:
            self._wire.write(words)

    def _connect(self) -> None:
        self._heard = True
        for channel in self._channels:
            self._command("SSUBSCRIBE", channel)
        self._on_connected()

    def _hear(self, reply: Any) -> None:
        self._heard = True
        match reply:
            case [b"smessage", channel, text]:
                self._on_message(channel.decode(), text)
            case [b"ssubscribe", channel, _]:
                self._on_subscribed(channel.decode())
            case ResponseError():
                log.error("subscriber_refused", error=str(reply))
                self._wire.drop()

    async def _heartbeat(self) -> None:
        """A connection may look open and carry nothing any more: one that does not answer a ping is replaced."""
        while True:
            await asyncio.sleep(self._limits.heartbeat_s)
            if not self._wire.connected:
                continue
            if not self._heard:
                log.warning("subscriber_silent")
                self._wire.drop()
                continue
            self._heard = False
            self._command("PING")
