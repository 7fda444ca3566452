"""The quota script on a real Redis, with a clock that the test sets."""

import asyncio
from typing import Any

import pytest

from store.redis.clients import Hot, SyncHot
from store.redis.limits import Policy, QuotaState, spend
from store.redis.scripts import Script
from tests.support.side_by_side import CLOCK, CLOCK_PRELUDE

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
SCRIPT = Script("gcra", CLOCK_PRELUDE)
POLICY = Policy("test", quota=3, window_s=30)


class Meter:
    """Spends at moments (µs) of the test's choice."""

    def __init__(self, sync_hot: SyncHot) -> None:
        self.hot = sync_hot
        self.redis: Any = sync_hot.client

    def spend(self, at: int, who: str = "ann", policy: Policy = POLICY) -> QuotaState:
        self.redis.set(CLOCK, START + at)
        return self.hot.run(spend(policy, who, script=SCRIPT))


@pytest.fixture
def meter(sync_hot: SyncHot) -> Meter:
    return Meter(sync_hot)


def test_a_quota_is_there_at_once_and_fills_up_steadily(meter: Meter) -> None:
    assert [meter.spend(0) for _ in range(3)] == [
        QuotaState(True, 2, 0, 10),
        QuotaState(True, 1, 0, 20),
        QuotaState(True, 0, 10, 30),
    ]
    assert meter.spend(0) == QuotaState(False, 0, 10, 30)
    assert meter.spend(10 * SECOND - 1) == QuotaState(False, 0, 1, 21)
    assert meter.spend(10 * SECOND) == QuotaState(True, 0, 10, 30)
    assert meter.spend(10 * SECOND).allowed is False
    assert meter.spend(60 * SECOND) == QuotaState(True, 2, 0, 10), "never more than the quota"


def test_a_refusal_costs_nothing(meter: Meter) -> None:
    for _ in range(100):
        meter.spend(0)
    assert meter.spend(10 * SECOND).allowed


def test_in_any_window_twice_the_quota_is_the_most(meter: Meter) -> None:
    allowed = [at for at in range(0, 300 * SECOND, SECOND // 2) if meter.spend(at).allowed]
    for begin in allowed:
        inside = [at for at in allowed if begin <= at < begin + 30 * SECOND]
        assert len(inside) <= 2 * POLICY.quota


def test_everybody_and_every_policy_has_a_quota_of_its_own(meter: Meter) -> None:
    for _ in range(4):
        meter.spend(0)
    assert meter.spend(0, who="ben").remaining == 2
    assert meter.spend(0, policy=Policy("other", 3, 30)).remaining == 2


def test_a_clock_that_went_back_locks_nobody_out_for_longer_than_the_window(meter: Meter) -> None:
    for _ in range(4):
        meter.spend(3600 * SECOND)
    assert meter.spend(0) == QuotaState(False, 0, 10, 30)
    # So does a policy that was made stricter meanwhile.
    assert meter.spend(0, policy=Policy("test", 1, 5)).retry_after_s == 5


def test_what_is_full_again_takes_no_memory(meter: Meter) -> None:
    meter.spend(0)
    assert 0 < meter.redis.pttl("quota:test:ann") <= 10_000


async def test_a_crowd_gets_the_quota_and_no_more(hot: Hot, sync_hot: SyncHot) -> None:
    policy = Policy("crowd", 10, 3600)
    standings = await asyncio.gather(*(hot.run(spend(policy, "ann")) for _ in range(50)))
    assert sorted(standing.remaining for standing in standings if standing.allowed) == list(range(10))
