"""How often somebody may do something, counted in Redis for all processes together.

GCRA: a quota that fills up again at a steady pace, so that no client gets two quotas around the turn of a window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from store.redis.calls import Call
from store.redis.scripts import Script

GCRA = Script("gcra")


@dataclass(frozen=True, slots=True)
class Policy:
    """`quota` requests at once, and as many again over every `window_s` seconds."""

    name: str
    quota: int
    window_s: int


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The state after a request, in whole seconds rounded up: when the next one fits, when all of the quota does."""

    allowed: bool
    remaining: int
    retry_after_s: int
    reset_s: int


def spend(policy: Policy, who: str, *, script: Script = GCRA) -> Call[QuotaState]:
    """Count one request of `who` (an account or an address). A refused one costs nothing."""
    interval_us = policy.window_s * 1_000_000 // policy.quota
    return Call(script, [f"quota:{policy.name}:{who}"], [interval_us, policy.quota], _standing)


def _standing(reply: Sequence[int]) -> QuotaState:
    allowed, remaining, retry_after_us, reset_us = reply
    return QuotaState(allowed == 1, remaining, ceil(retry_after_us / 1_000_000), ceil(reset_us / 1_000_000))
