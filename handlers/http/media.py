"""The backend of media, for handlers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from handlers.http.refusals import HttpRefusal
from market.errors import Refusal
from store.media.interface import Media

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 4
MAX_PENDING = 64
"""Calls of S3 take tens of ms: a later caller would wait for a second."""


class MediaThreads:
    """The backend of media, asked beside the event loop, since it blocks. Raises Refusal `busy` when too many wait."""

    def __init__(self, backend: Media) -> None:
        self.backend = backend
        self._threads = ThreadPoolExecutor(THREADS, "media")
        self._pending = 0

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `work` returns, a method of the backend."""
        if self._pending >= MAX_PENDING:
            raise Refusal(HttpRefusal.BUSY)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, lambda: work(*args, **kwargs)
            )
        finally:
            self._pending -= 1
