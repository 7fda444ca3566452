"""How runs of a task share the work: one at a time, or each taking what no other has taken."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import structlog
from redis import RedisError
from sqlalchemy.orm import Session

from market.work_queue import Due
from store.redis.clients import SyncHot
from tasks.app import TIME_LIMIT_S, Resources

T = TypeVar("T")

log = structlog.get_logger()

RUN_S = 20
"""A run that is still not done stops here; the next one goes on."""


@contextmanager
def alone(hot: SyncHot, key: str) -> Iterator[bool]:
    """Whether this run is the only one: a key in Redis says so, no longer than a task may take. Raises
    `redis.RedisError`."""
    if not hot.client.set(key, 1, nx=True, ex=TIME_LIMIT_S):
        yield False
        return
    try:
        yield True
    finally:
        try:
            hot.client.delete(key)
        except RedisError as error:
            log.warning("run_not_ended", run=key, error=str(error))


def do_due(
    resources: Resources,
    claim: Callable[[Session, Due | None], Due | None],
    work: Callable[[Session, UUID], object],
    failed: str,
) -> None:
    """Do the `work` that is due, in the order of `claim`, each in a transaction of its own.

    `claim` locks the next one that no other worker has, so several share the work. One that fails is logged as
    `failed`, and its turn is over until the next run.
    """
    end = time.monotonic() + RUN_S
    due: Due | None = None
    while time.monotonic() < end:
        with resources.database.transaction() as session:
            due = claim(session, due)
            if due is None:
                return
            try:
                with session.begin_nested():
                    work(session, due.id)
            except Exception:
                log.exception(failed, id=str(due.id))
