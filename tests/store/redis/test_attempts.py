"""The script that counts attempts to log in, on a real Redis, with a clock that the test sets."""

from typing import Any

import pytest

from store.redis import attempts
from store.redis.clients import Hot, SyncHot
from store.redis.scripts import Script
from tests.support.side_by_side import CLOCK, CLOCK_PRELUDE

SECOND_MS = 1_000
START_MS = 1_700_000_000 * SECOND_MS
SCRIPT = Script("attempts", CLOCK_PRELUDE)


class Door:
    """Counts attempts at moments (ms) of the test's choice; the answer is how long to wait."""

    def __init__(self, sync_hot: SyncHot) -> None:
        self.hot = sync_hot
        self.redis: Any = sync_hot.client

    def attempt(self, at_ms: int, account: str = "ann", address: str = "192.0.2.1") -> int:
        self.redis.set(CLOCK, (START_MS + at_ms) * 1_000)
        return self.hot.run(attempts.begin(account, address, script=SCRIPT))


@pytest.fixture
def door(sync_hot: SyncHot) -> Door:
    return Door(sync_hot)


def test_some_attempts_are_free_and_then_each_doubles_the_wait_up_to_the_longest(door: Door) -> None:
    assert [door.attempt(0) for _ in range(attempts.FREE)] == [0] * attempts.FREE
    at_ms, waits = 0, []
    for _ in range(40):
        waits.append(door.attempt(at_ms))
        at_ms += waits[-1]
        assert door.attempt(at_ms) == 0
    assert [wait // SECOND_MS for wait in waits] == [1, 2, 4, 8, 16, 32, *[60] * 34]


def test_an_attempt_that_is_too_early_does_not_count(door: Door) -> None:
    for _ in range(attempts.FREE):
        door.attempt(0)
    assert [door.attempt(400) for _ in range(50)] == [600] * 50
    assert door.attempt(SECOND_MS) == 0


def test_every_account_and_every_address_has_a_count_of_its_own(door: Door) -> None:
    for _ in range(attempts.FREE):
        door.attempt(0)
    assert door.attempt(0, account="ANN") > 0, "upper and lower case are the same"
    assert door.attempt(0, account="ben") == 0
    assert door.attempt(0, address="192.0.2.2") == 0


def test_after_an_hour_all_is_forgotten(door: Door) -> None:
    door.attempt(0)
    [key] = door.redis.keys("attempts:*")
    assert 0 < door.redis.pttl(key) <= attempts.FORGET_MS
    assert key.startswith(b"attempts:")
    assert b"ann" not in key


def test_a_clock_that_went_back_locks_nobody_out_for_longer_than_the_longest_wait(door: Door) -> None:
    for _ in range(attempts.FREE):
        door.attempt(3600 * SECOND_MS)
    assert door.attempt(0) == attempts.LONGEST_DELAY_MS


async def test_a_success_begins_anew(door: Door, hot: Hot) -> None:
    for _ in range(3):
        assert [door.attempt(0) for _ in range(attempts.FREE - 1)] == [0] * (attempts.FREE - 1)
        await hot.run(attempts.forget("ann", "192.0.2.1"))
