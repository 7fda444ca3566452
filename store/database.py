"""Connections to PostgreSQL and the unit of work: leaving a transaction normally commits, an exception rolls back.

Every connection here acts as the role `neighborbid_app`, which may not change or delete a transfer or a bid, nor
delete an auction that was published. Migrations connect as the owner instead.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import psycopg
import structlog
from sqlalchemy import URL, CollectionAggregate, Uuid, any_, cast, create_engine, event, make_url
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from store.redis.hot import Hot, SyncHot
from store.redis.pushes import Told, publish, publish_sync

P = ParamSpec("P")
R = TypeVar("R")

APP_ROLE = "neighborbid_app"

POOL_SIZE = 10
CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 10
"""How long a request waits for a connection before it is refused."""
STATEMENT_TIMEOUT_MS = 30_000
"""Nothing that a door does may take longer; a stuck statement must not hold its locks for ever."""
IDLE_TIMEOUT_MS = 15_000
"""A process that stops in the middle of a transaction loses its connection: with an auction locked it would stop the
write-back of all."""
CONTENTION = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""Why PostgreSQL breaks a transaction off that may well succeed when tried again."""
MAX_TRIES = 4
"""Of such a transaction."""

_DEAD_PEER = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""A server that is gone without a word is noticed within half a minute."""

log = structlog.get_logger()


def psycopg_url(url: str) -> URL:
    """`url` with the psycopg 3 driver named."""
    return make_url(url).set(drivername="postgresql+psycopg")


def any_id(ids: Collection[UUID]) -> CollectionAggregate[bool]:
    """To compare an id with any number of them: an IN list ends at PostgreSQL's 65,535 parameters."""
    return any_(cast(list(ids), ARRAY(Uuid)))


def _engine_options() -> dict[str, Any]:
    return {
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_timeout": POOL_TIMEOUT_S,
        "pool_pre_ping": True,
        # The values of a failed statement, such as password hashes, must not reach the logs.
        "hide_parameters": True,
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c role={APP_ROLE} -c timezone=UTC -c statement_timeout={STATEMENT_TIMEOUT_MS}"
            f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS}",
            **_DEAD_PEER,
        },
    }


_TOLD = "told"


def tell_after_commit(session: Session, told: Iterable[Told]) -> None:
    """Have users told once the transaction is committed, whatever door it belongs to. What a savepoint takes back is
    not told."""
    within = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(_TOLD, []).extend((within, item) for item in told)


@event.listens_for(Session, "after_soft_rollback")
def _take_back(session: Session, ended: SessionTransaction) -> None:
    session.info[_TOLD] = [
        (within, item) for within, item in session.info.get(_TOLD, []) if not _is_part(within, ended)
    ]


def _is_part(within: SessionTransaction | None, whole: SessionTransaction) -> bool:
    while within is not None and within is not whole:
        within = within.parent
    return within is whole


def told_after_commit(session: Session | AsyncSession) -> list[Told]:
    """What users are told when the transaction is committed as it stands."""
    return [item for _, item in session.info.get(_TOLD, [])]


class Database:
    """PostgreSQL for asyncio. `hot` is where users are told after a commit; without it nobody is."""

    def __init__(self, url: str, hot: Hot | None = None) -> None:
        self._hot = hot
        self._engine = create_async_engine(psycopg_url(url), **_engine_options())
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: `await session.run_sync(use_case, …)` inside, side effects after it."""
        async with self._sessions.begin() as session:
            yield session
        if self._hot is not None:
            await publish(self._hot, told_after_commit(session))

    async def use(
        self, use_case: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a use-case in a transaction of its own, committed on return.

        One that PostgreSQL has broken off for another one's sake, which changes nothing, is tried again.
        """
        tries = 1
        while True:
            try:
                async with self.transaction() as session:
                    return await session.run_sync(use_case, *args, **kwargs)
            except OperationalError as error:
                if tries == MAX_TRIES or not isinstance(error.orig, CONTENTION):
                    raise
                log.warning("transaction_tried_again", error=type(error.orig).__name__)
                tries += 1

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class SyncDatabase:
    """PostgreSQL for Celery. Make it after the fork: connections must not be shared between processes. `hot` as for
    `Database`."""

    def __init__(self, url: str, hot: SyncHot | None = None) -> None:
        self._hot = hot
        self._engine = create_engine(psycopg_url(url), **_engine_options())
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: use-cases inside, side effects after it."""
        with self._sessions.begin() as session:
            yield session
        if self._hot is not None:
            publish_sync(self._hot, told_after_commit(session))

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()
