"""Breaking any line of a script is noticed: each small fault makes scripts and rules disagree in some scenario."""

import hashlib
from collections.abc import Callable
from copy import copy

import pytest
from redis.exceptions import ResponseError

from store.redis import auctions, clients, scripts
from tests.support.mutants import mutants_of
from tests.support.scenarios import HISTORY_LENGTH, SCENARIOS
from tests.support.side_by_side import CLOCK_PRELUDE, SideBySide

NO_PADDLE = "any text that is no paddle will do"
PADDLES = "string.match(redis.call('HGET', paddles, bidder) or ''"
BOTH = "it counts how many of the two are there"
READ_KEYS = "local auction, history, ready, mirrored = KEYS[1], KEYS[2], KEYS[3], KEYS[4]"
PLACEHOLDER = "the entry is deleted at once, only its id stays"

HARMLESS = {
    ("place_bid", f"local number, limit = {PADDLES}, '^(%d+):(%d+):')", "'' -> 'x'"): NO_PADDLE,
    ("place_bid", "if ends_at == now then", "ends_at == now -> true"): "before its end no auction is sealed",
    ("place_bid", "if extended then", "extended -> true"): "the end that is written again did not change",
    ("put_paddle", "if not state[1] then", "1 -> 2"): "an auction has all its fields or none",
    ("put_paddle", f"local stored = {PADDLES}, ':(%d+)$')", "'' -> 'x'"): NO_PADDLE,
    (
        "load_auction",
        "redis.call('DEL', paddles, history)",
        "paddles, history -> history, paddles",
    ): "same keys",
    ("load_auction", "redis.call('XADD', log, log_position, 'r', '')", "'r' -> 'rx'"): PLACEHOLDER,
    ("load_auction", "redis.call('XADD', log, log_position, 'r', '')", "'' -> 'x'"): PLACEHOLDER,
    ("load_auction", "redis.call('XADD', log, log_position, 'r', '')", "'r', '' -> '', 'r'"): PLACEHOLDER,
    ("read_auction", READ_KEYS, "KEYS[3], KEYS[4] -> KEYS[4], KEYS[3]"): BOTH,
    ("read_auction", READ_KEYS, "ready, mirrored -> mirrored, ready"): BOTH,
    (
        "read_auction",
        "return { now, redis.call('EXISTS', ready, mirrored) == 2 and 'unknown_auction' or 'unavailable', {} }",
        "ready, mirrored -> mirrored, ready",
    ): BOTH,
}
"""Faults (script, line, fault) that change nothing anyone can see, and why."""


# Hundreds of faults: on a busy machine that takes longer than any other test may.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", scripts.Scripts._fields)
def test_every_fault_in_a_script_is_noticed(
    sync_hot: clients.SyncHot, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(auctions, "HISTORY_LENGTH", HISTORY_LENGTH)
    right = scripts.load_scripts(CLOCK_PRELUDE)
    source = scripts.lua_source(name)
    unnoticed = set()
    scenarios = list(SCENARIOS)
    with SideBySide(sync_hot, right) as auction:
        for mutant in mutants_of(source):
            script = copy(getattr(right, name))
            script.text = script.text.replace(source, mutant.text)
            script.sha = hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
            try:
                sync_hot.client.script_load(script.text)
            except ResponseError:
                continue
            auction.scripts = right._replace(**{name: script})
            if not _noticed(auction, scenarios):
                unnoticed.add((name, mutant.line, mutant.fault))
    assert unnoticed == {fault for fault in HARMLESS if fault[0] == name}


def _noticed(auction: SideBySide, scenarios: list[Callable[[SideBySide], None]]) -> bool:
    """Whether a scenario fails. It comes first in `scenarios` then: it is likely to notice the next fault too."""
    for scenario in scenarios:
        auction.reset()
        try:
            scenario(auction)
        except Exception:
            scenarios.remove(scenario)
            scenarios.insert(0, scenario)
            return True
    return False
