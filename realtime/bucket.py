"""An allowance that fills up again with time."""

import time


class Bucket:
    """Lets `burst` through at once, and `per_s` every second."""

    __slots__ = ("_burst", "_filled_at", "_per_s", "_tokens")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._tokens = float(burst)
        self._filled_at = time.monotonic()

    def take(self) -> int:
        """Take one: 0, or the ms until there is one again; then nothing is taken."""
        self._fill()
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return int((1 - self._tokens) / self._per_s * 1000) + 1

    @property
    def full(self) -> bool:
        """Whether it is like a new one."""
        self._fill()
        return self._tokens >= self._burst

    def _fill(self) -> None:
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_s)
        self._filled_at = now
