"""The Lua scripts of `store/lua/`. Each makes one decision and validates everything before its first write."""

import hashlib
from pathlib import Path
from typing import NamedTuple


def lua_source(name: str) -> str:
    """The file of a script."""
    return (Path(__file__).parents[1] / "lua" / f"{name}.lua").read_text()


_CALLED_BY = {"place_bid": "seal_auction"}
"""Which script needs which other one: it stands before it, as a function of its name."""


class Script:
    """A Lua script of `store/lua/`. `prelude` is put before it; tests use it to set the clock."""

    def __init__(self, name: str, prelude: str = "") -> None:
        self.name = name
        called = _CALLED_BY.get(name)
        function = f"local function {called}(KEYS, ARGV)\n{lua_source(called)}\nend\n" if called else ""
        self.text = prelude + function + lua_source(name)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Scripts(NamedTuple):
    """Every script. Each makes one decision and validates everything before its first write."""

    place_bid: Script
    seal_auction: Script
    extend_auction: Script
    put_paddle: Script
    load_auction: Script
    read_auction: Script


def load_scripts(prelude: str = "") -> Scripts:
    """Read the scripts from their files."""
    return Scripts(*(Script(name, prelude) for name in Scripts._fields))


SCRIPTS = load_scripts()
