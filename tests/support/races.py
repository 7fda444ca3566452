"""Threads that start at the same moment, for races."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from market.errors import Refusal

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | str]:
    """What each call returned, or the code with which it was refused. Any other error fails the test."""
    start = Barrier(len(calls), timeout=30)

    def run(call: Callable[[], T]) -> T | str:
        start.wait()
        try:
            return call()
        except Refusal as refusal:
            return refusal.code

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))
