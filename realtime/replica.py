"""An auction as a client knows it: a snapshot, and the events folded into it. Works on decoded JSON messages."""

import time
from typing import Any

Message = dict[str, Any]

RECENT_BIDS = 20


class Replica:
    """The fields of a snapshot, kept up to date by `apply`. Before the first snapshot all of them are empty.

    Times are ms by the server's clock. A snapshot, and the same after any events, make equal replicas; the number of
    viewers, which is no event, does not count.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.seq = 0
        self.state = ""
        self.opens_at = 0
        self.ends_at = 0
        self.price: int | None = None
        self.leader: int | None = None
        self.next_minimum: int | None = None
        self.bids = 0
        self.reserve_met = False
        self.buy_now: int | None = None
        self.recent: list[Message] = []
        self.hammer_price: int | None = None
        self.winner: int | None = None
        self.cancelled = False
        self.viewers = 0
        self._offset_ms = 0.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replica) and self._comparable() == other._comparable()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Replica({self._comparable()})"

    def _comparable(self) -> Message:
        fields = {
            name: value
            for name, value in vars(self).items()
            if name not in ("viewers", "_offset_ms", "state")
        }
        return fields | {"closed": self.closed}

    @property
    def closed(self) -> bool:
        """Whether the hammer has fallen."""
        return self.state == "closed"

    @property
    def open(self) -> bool:
        """Whether bids are taken now, as far as one can know here."""
        return bool(self.epoch) and not self.closed and self.opens_at <= self.now_ms() < self.ends_at

    def now_ms(self) -> int:
        """The server's time, estimated from its last message."""
        return int(time.monotonic() * 1000 + self._offset_ms)

    def remaining_ms(self) -> int:
        """The time left; negative after the end."""
        return self.ends_at - self.now_ms()

    def position(self) -> dict[str, int]:
        """What to subscribe with in order to go on from here."""
        return {"epoch": self.epoch, "seq": self.seq}

    def apply(self, message: Message) -> bool:
        """Fold a message about this auction in; others change nothing.

        False if events before it are missing: subscribe again with `position()`.
        """
        if "server_time" in message:
            self._offset_ms = message["server_time"] - time.monotonic() * 1000
        match message["type"]:
            case "snapshot":
                for name in vars(self).keys() & message.keys():
                    setattr(self, name, message[name])
            case "tick":
                return self._tick(message)
            case "extended":
                known = self.seq + 1 if message["outage"] else self.seq
                if message["epoch"] != self.epoch or message["seq"] > known:
                    return False
                self.seq = max(self.seq, message["seq"])
                self.ends_at = max(self.ends_at, message["ends_at"])
            case "closed":
                return self._close(message)
            case "viewers":
                self.viewers = message["count"]
        return True

    def _tick(self, tick: Message) -> bool:
        if tick["epoch"] != self.epoch or tick["first"] > self.seq + 1:
            return False
        if tick["last"] > self.seq:
            new = [bid for bid in tick["bids"] if bid["seq"] > self.seq]
            self.recent = [*self.recent, *new][-RECENT_BIDS:]
            self.seq = tick["last"]
            self.price = tick["price"]
            self.leader = tick["leader"]
            self.next_minimum = tick["next_minimum"]
            self.ends_at = tick["ends_at"]
            self.bids = tick["count"]
            self.reserve_met = tick["reserve_met"]
            self.buy_now = tick["buy_now"]
        return True

    def _close(self, closed: Message) -> bool:
        if closed["epoch"] != self.epoch or closed["seq"] > self.seq + 1:
            return False
        self.seq = closed["seq"]
        self.state = "closed"
        self.ends_at = closed["ends_at"]
        self.bids = closed["bids"]
        self.buy_now = None
        self.hammer_price = closed["hammer_price"]
        self.winner = closed["winner"]
        self.cancelled = closed["cancelled"]
        return True
