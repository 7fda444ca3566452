"""One client on one socket, as the rooms see it: whom it is, what it watches, and how far it is behind."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from tornado.iostream import IOStream, StreamClosedError

from realtime.accounts import Account, Bucket
from realtime.frames import frame
from realtime.limits import Limits
from realtime.metrics import SLOW_VIEWERS
from realtime.protocol import CloseCode, Message
from store.redis.pushes import Push

if TYPE_CHECKING:
    from realtime.room import Room


class Viewer:
    """Writes frames without ever waiting, and counts what has not left."""

    def __init__(self, stream: IOStream, close: Callable[[int, str], None], limits: Limits) -> None:
        self._stream = stream
        self._close = close
        self._limits = limits
        self._closed = False
        self._messages = Bucket(limits.message_burst, limits.messages_per_s)
        self._refused_in_a_row = 0
        self.account: Account | None = None
        """Whose socket it is."""
        self.session: UUID | None = None
        """By which log-in it is the user's socket."""
        self.rooms: dict[UUID, Room] = {}
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
            for room in self.rooms.values():
                room.greet(self)

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
