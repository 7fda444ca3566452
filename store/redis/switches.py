"""Which functions of the platform are switched on, and how the live socket learns of it.

PostgreSQL decides. The realtime processes have no PostgreSQL, so they read a copy in Redis every moment. A
change is written there after the commit, and a task repeats that every second, in case it could not be written or was
lost. A version never replaces a later one.
"""

from typing import Any

import msgspec

from store.redis.calls import Batch, Call
from store.redis.scripts import Script

KEY = "switches"

PUT = Script("put_switches")


class Switches(msgspec.Struct, frozen=True):
    """What is on. What is off is refused with `switched_off`. `payments` bring money into a wallet or out of it by the
    wish of its owner."""

    registrations: bool = True
    publishing: bool = True
    live_bidding: bool = True
    neighbourhood_bidding: bool = True
    payments: bool = True


def put(version: int, switches: Switches, *, script: Script = PUT) -> Call[bool]:
    """Have Redis know this version; False if it knows a later one."""
    return Call(script, [KEY], [version, msgspec.json.encode(switches).decode()], bool)


def read() -> Batch[Switches | None]:
    """The switches as Redis knows them; None if it does not."""

    def parse(replies: list[Any]) -> Switches | None:
        [value] = replies
        return None if value is None else msgspec.json.decode(value, type=Switches)

    return Batch(lambda pipe: pipe.hget(KEY, "value"), parse)
