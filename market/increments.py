"""Tables of increments: (from price, increment), the first from 0, in minor units."""

from collections.abc import Sequence
from itertools import pairwise

from market.rules import MAX_AMOUNT

MAX_NAME = 50
"""Characters of the name of a table."""
MAX_STEPS = 50
"""The script reads the whole table for every bid."""


def is_table(steps: Sequence[tuple[int, int]]) -> bool:
    """Whether an auction can have these increments."""
    starts = [start for start, _ in steps]
    return (
        1 <= len(starts) <= MAX_STEPS
        and starts[0] == 0
        and all(lower < upper for lower, upper in pairwise(starts))
        and starts[-1] <= MAX_AMOUNT
        and all(1 <= amount <= MAX_AMOUNT for _, amount in steps)
    )
