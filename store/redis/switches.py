"""Which functions of the platform are switched on, and how the live socket hears of it.

PostgreSQL decides. The realtime processes have no PostgreSQL, so Redis has a copy that they read every moment. Whoever
changes a switch writes the copy after the commit, and a task does every second, in case it could not be written or was
lost. A version never replaces a later one.
"""

import msgspec

from store.redis.hot import Call, Hot, Script

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


async def read(hot: Hot) -> Switches | None:
    """The switches as Redis knows them; None if it does not. Raises `redis.RedisError`."""
    value = await hot.client.hget(KEY, "value")
    return None if value is None else msgspec.json.decode(value, type=Switches)
