"""Passwords hashed and checked beside the event loop, a few at a time."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from handlers.http.refusals import HttpRefusal
from market.accounts.passwords import hash_password, matches
from market.errors import Refusal

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 2
MAX_PENDING = 32
"""At about 30 ms of work each, a later caller would wait longer than half a second: better to refuse at once."""


class Passwords:
    """Hashes and checks passwords."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "passwords")
        self._pending = 0
        self._decoy = hash_password(secrets.token_urlsafe())

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one password. Raises Refusal `busy` when too many are waiting."""
        if self._pending >= MAX_PENDING:
            raise Refusal(HttpRefusal.BUSY)
        self._pending += 1
        try:
            yield
        finally:
            self._pending -= 1

    async def hash(self, password: str) -> str:
        """The hash to store. Raises Refusal `busy`."""
        with self.slot():
            return await self._beside(hash_password, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password belongs to the hash. None, for an unknown user, costs the same work and is False.

        Only within a `slot`, taken before the attempt is counted: one that was refused with `busy` was no guess.
        """
        right = await self._beside(matches, password_hash or self._decoy, password)
        return right and password_hash is not None

    async def _beside(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))
