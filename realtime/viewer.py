"""One client on one socket: who it is, what it watches, how far it is behind. And the user behind several sockets."""

import time
from collections.abc import Callable
from functools import partial
from uuid import UUID

from tornado.iostream import IOStream, StreamClosedError

from realtime.bucket import Bucket
from realtime.frames import frame
from realtime.limits import Limits
from realtime.metrics import SLOW_VIEWERS
from realtime.protocol import CloseCode, Message
from store.redis.pushes import Push


class Viewer:
    """Writes frames without ever waiting, and counts what has not left. Calls `on_caught_up` whenever all of it has."""

    def __init__(
        self,
        stream: IOStream,
        close: Callable[[int, str], None],
        limits: Limits,
        on_caught_up: Callable[["Viewer"], None],
    ) -> None:
        self._stream = stream
        self._close = close
        self._on_caught_up = on_caught_up
        self._limits = limits
        self._closed = False
        self._messages = Bucket(limits.message_burst, limits.messages_per_s)
        self._refused_in_a_row = 0
        self.account: Account | None = None
        """Whose socket it is."""
        self.session: UUID | None = None
        """By which log-in it is the user's socket."""
        self.watching: set[UUID] = set()
        """Auctions."""
        self.unsent = 0
        self.behind_since = 0.0
        """Since when (monotonic seconds) it has been too far behind for ticks; 0 if it is not."""

    @property
    def user(self) -> UUID | None:
        """The user whose socket it is."""
        return self.account.user if self.account else None

    def send(self, message: Message | Push) -> None:
        """Write a message of its own."""
        self.write(frame(message))

    def write(self, frames: bytes) -> None:
        """Write whole frames. A viewer that has too much unsent is closed instead."""
        if self._closed or self._stream.closed():
            return
        rest: bytes | memoryview = frames
        if not self._stream.writing():
            # Nothing is queued, so the kernel may take it at once: half the cost of the stream's own way.
            try:
                sent = self._stream.socket.send(frames)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._stream.close()
                return
            if sent == len(frames):
                return
            rest = memoryview(frames)[sent:]
        if self.unsent + len(rest) > self._limits.hard_bytes:
            self.close_as_slow()
            return
        self.unsent += len(rest)
        try:
            self._stream.write(rest).add_done_callback(partial(self._sent, len(rest)))
        except StreamClosedError:
            self.unsent = 0

    def _sent(self, size: int, _: object) -> None:
        self.unsent -= size
        if not self.unsent and not self._closed:
            self.behind_since = 0.0
            self._on_caught_up(self)

    def fall_behind(self) -> None:
        """Note that ticks are held back."""
        self.behind_since = self.behind_since or time.monotonic()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; nothing is written after it."""
        if not self._closed:
            self._closed = True
            self._close(code, reason)

    def close_as_slow(self) -> None:
        """Give up on a viewer that does not read."""
        SLOW_VIEWERS.inc()
        self.close(CloseCode.TOO_SLOW, "too_slow")

    def wait_ms(self) -> int:
        """Take one message from the allowance, of the account if there is one: 0, or the ms until the next."""
        wait_ms = (self.account.messages if self.account else self._messages).take()
        if wait_ms == 0:
            self._refused_in_a_row = 0
            return 0
        self._refused_in_a_row += 1
        if self._refused_in_a_row > self._limits.rate_limited_in_a_row:
            self.close(CloseCode.POLICY, "rate_limited")
        return wait_ms


class Account:
    """A user who is signed in on some `viewers`. It outlives the last of them until its buckets are full again, so that
    reconnecting brings no new ones."""

    def __init__(self, user: UUID, limits: Limits) -> None:
        self.user = user
        self.viewers: set[Viewer] = set()
        self.messages = Bucket(limits.message_burst, limits.messages_per_s)
        self.bids = Bucket(limits.bid_burst, limits.bids_per_s)

    @property
    def over(self) -> bool:
        """Whether it can be forgotten."""
        return not self.viewers and self.messages.full and self.bids.full
