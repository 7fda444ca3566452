"""The realtime process in one object: made from settings, started, drained."""

import asyncio
import contextlib
import random
import time

import structlog
from redis.exceptions import RedisError
from tornado.routing import URLSpec

from realtime import metrics
from realtime.background import every, stop_all
from realtime.clock import Clock
from realtime.closer import Closer
from realtime.dispatch import Live
from realtime.hub import Hub
from realtime.limits import Limits
from realtime.pipe import Pipe
from realtime.protocol import CloseCode, Drain
from realtime.socket import LiveSocket
from realtime.teller import Teller
from realtime.viewer import Viewer
from store.redis import measurements, streams, switches
from store.redis.clients import Hot

log = structlog.get_logger()

_EVERY_S = 1.0
_SWITCHES_EVERY_S = 0.5
"""A switch must hold everywhere within a second."""
_WATCHDOG_REPEAT_S = 10.0


class Realtime:
    """The WebSocket door. `process_name` must differ between all running processes."""

    def __init__(
        self,
        redis_url: str,
        *,
        allowed_origins: frozenset[str],
        process_name: str,
        limits: Limits | None = None,
    ) -> None:
        limits = limits or Limits()
        hot, clock, pipe = Hot.connect(redis_url), Clock(), Pipe(redis_url, limits)
        hub = Hub(redis_url, hot, clock, process_name, limits)
        self._live = Live(hot, pipe, hub, Teller(hot), clock, limits, allowed_origins)
        self._process_name = process_name
        self._closer = Closer(hot, pipe, clock)
        self._rhythms: list[asyncio.Task[None]] = []
        self._started_at = 0
        self._write_back_age_ms = 0
        self._stale_logged_at = 0.0

    def routes(self) -> list[URLSpec]:
        """The rules for the Tornado application."""
        return [URLSpec(r"/ws/live", LiveSocket, {"live": self._live})]

    async def start(self) -> None:
        """Connect and begin; returns when Redis answers, however long that takes."""
        live = self._live
        live.pipe.start()
        live.hub.subscriber.start()
        self._rhythms.append(asyncio.create_task(every(_EVERY_S, live.clock.measure, live.hot)))
        while not (live.clock.known and live.pipe.connected and live.hub.subscriber.connected):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self._started_at = live.clock.now()
        self._rhythms += [
            asyncio.create_task(every(_EVERY_S, self._closer.look)),
            asyncio.create_task(every(_EVERY_S, self._watch_write_back)),
            asyncio.create_task(every(_EVERY_S, self._sweep)),
            asyncio.create_task(every(_SWITCHES_EVERY_S, self._read_switches)),
            asyncio.create_task(every(live.limits.viewers_s, self._share_figures)),
            asyncio.create_task(every(live.limits.position_check_s, live.hub.check_positions)),
            asyncio.create_task(every(live.limits.viewers_s, live.hub.count_viewers)),
        ]

    async def drain(self, timeout_s: float) -> None:
        """Send every socket away, spread over time but within `timeout_s`, and stop."""
        live = self._live
        live.draining = True
        viewers = list(live.hub.viewers)
        spread_s = min(0.8 * timeout_s, len(viewers) / live.limits.reconnects_per_s)
        # No secret, only a spread.
        delays_s = [random.uniform(0, spread_s) for _ in viewers]  # noqa: S311
        await asyncio.gather(*map(_send_away, viewers, delays_s))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(live.hub.empty.wait(), 0.2 * timeout_s)
        await stop_all(self._rhythms)
        await self._closer.stop()
        try:
            await live.hub.stop()
        except RedisError as failure:
            log.warning("viewer_counts_left_behind", error=str(failure))
        await live.pipe.stop()
        await live.teller.stop()
        await live.hot.close()

    def status(self) -> dict[str, object]:
        """How this process does; `ready` tells whether it can serve."""
        live = self._live
        connected, hearing = live.pipe.connected, live.hub.subscriber.connected
        knowing = live.clock.known and live.switches is not None
        return {
            "ready": connected and hearing and knowing and not live.draining,
            "redis": connected,
            "subscriber": hearing,
            "rooms": live.hub.rooms,
            "sockets": len(live.hub.viewers),
            "write_back_age_ms": self._write_back_age_ms,
        }

    async def _sweep(self) -> None:
        self._live.hub.sweep()

    async def _read_switches(self) -> None:
        """While Redis does not know them, what was known last holds; a process that never knew takes no bids."""
        self._live.switches = await self._live.hot.run(switches.read()) or self._live.switches

    async def _share_figures(self) -> None:
        live, late = self._live, self._live.late_rejections
        await live.hot.run(measurements.share(self._process_name, live.hub.watching, late, live.clock.now()))
        # What could not be shared is shared the next time; meanwhile others may have come.
        live.late_rejections -= late

    async def _watch_write_back(self) -> None:
        """Nobody else would notice that accepted bids do not reach PostgreSQL any more."""
        last = max(await self._live.hot.run(streams.write_back_at()), self._started_at)
        self._write_back_age_ms = max(0, self._live.clock.now() - last)
        metrics.WRITE_BACK_AGE_S.set(self._write_back_age_ms / 1000)
        if self._write_back_age_ms <= self._live.limits.write_back_age_s * 1000:
            self._stale_logged_at = 0.0
        elif time.monotonic() - self._stale_logged_at >= _WATCHDOG_REPEAT_S or not self._stale_logged_at:
            self._stale_logged_at = time.monotonic()
            log.error("write_back_stale", age_ms=self._write_back_age_ms)


async def _send_away(viewer: Viewer, delay_s: float) -> None:
    viewer.send(Drain(reconnect_in_ms=int(delay_s * 1000)))
    await asyncio.sleep(delay_s)
    viewer.close(CloseCode.RESTART, "drain")
