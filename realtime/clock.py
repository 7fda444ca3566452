"""Redis's clock as this process knows it: the one clock of the live auctions."""

import time
from collections import deque

from store.hot import Hot

_SAMPLES = 8


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
        # TIME is cut to ms, hence the half; of the last samples the quickest answer errs least.
        self._samples.append((received - sent, theirs + 0.5 - (sent + received) / 2))
        self._offset_ms = min(self._samples)[1]

    def now(self) -> int:
        """Redis's time, ms since the epoch."""
        return int(_monotonic_ms() + self._offset_ms)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000
