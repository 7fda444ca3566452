"""Waiting for a condition, so that no test sleeps for a guessed time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

DEADLINE_S = 30
POLL_S = 0.02


@overload
async def until(condition: Callable[[], Awaitable[T | None]], deadline_s: float = DEADLINE_S) -> T: ...


@overload
async def until(condition: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T: ...


async def until(condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """The first truthy value of `condition`, which may be async. Fails after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"nothing came within {deadline_s} s of {condition}")
        await asyncio.sleep(POLL_S)
