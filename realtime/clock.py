"""Redis's clock as this process knows it: the one clock of the live auctions."""

import time
from collections import deque

from store.redis.clients import Hot

_SAMPLES = 8
_DRIFT_MS = 5
"""How far two clocks may run apart within `_SAMPLES` seconds; two measurements that differ by more than that, and than
what they took, show that Redis's clock was set."""


class Clock:
    """The monotonic clock plus a measured offset. This machine's wall clock plays no part."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=_SAMPLES)
        self._offset_ms = 0.0

    @property
    def known(self) -> bool:
        """Whether it was ever measured."""
        return bool(self._samples)

    async def measure(self, hot: Hot) -> None:
        """Ask Redis for its time. Raises `redis.RedisError`."""
        sent = _monotonic_ms()
        theirs = await hot.now_ms()
        received = _monotonic_ms()
        # TIME is cut to ms, hence the half.
        self._take(received - sent, theirs + 0.5 - (sent + received) / 2)

    def _take(self, took_ms: float, offset_ms: float) -> None:
        """Of the last samples the quickest answer errs least, unless Redis's clock was set meanwhile."""
        if (
            self._samples
            and abs(offset_ms - self._offset_ms) > (took_ms + min(self._samples)[0]) / 2 + _DRIFT_MS
        ):
            self._samples.clear()
        self._samples.append((took_ms, offset_ms))
        self._offset_ms = min(self._samples)[1]

    def now(self) -> int:
        """Redis's time, ms since the epoch."""
        return int(_monotonic_ms() + self._offset_ms)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
