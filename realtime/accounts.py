"""What the sockets of one account share on this process: how much they may send, and how many they may be."""

import time
from typing import TYPE_CHECKING
from uuid import UUID

from realtime.limits import Limits

if TYPE_CHECKING:
    from realtime.viewer import Viewer


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


class Account:
    """A user who is signed in on some `viewers`. It outlives the last of them until its buckets are full again, so that
    nobody gets new ones by reconnecting."""

    def __init__(self, user: UUID, limits: Limits) -> None:
        self.user = user
        self.viewers: set[Viewer] = set()
        self.messages = Bucket(limits.message_burst, limits.messages_per_s)
        self.bids = Bucket(limits.bid_burst, limits.bids_per_s)

    @property
    def over(self) -> bool:
        """Whether it can be forgotten."""
        return not self.viewers and self.messages.full and self.bids.full
