"""Connections to PostgreSQL and the unit of work: leaving a transaction normally commits, an exception rolls back.

Every connection here acts as the role `neighborbid_app`, which may not change or delete a transfer or a bid, nor
delete an auction that was published. Migrations connect as the owner instead.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import psycopg
import structlog
from redis import ConnectionError, RedisError
from sqlalchemy import URL, CollectionAggregate, Uuid, any_, cast, create_engine, make_url
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from store import effects
from store.effects import Confirmation, Decision, Effect, StartTask, Step
from store.redis.clients import Hot, SyncHot

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


class Database:
    """PostgreSQL for asyncio. `hot` is where what follows a commit is done; without it that is left to the sweeps."""

    def __init__(self, url: str, hot: Hot | None = None) -> None:
        self._hot = hot
        self.left_to_sweeps = 0
        """How many effects could not be carried out so far."""
        self._engine = create_async_engine(psycopg_url(url), **_engine_options())
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: `await session.run_sync(use_case, …)` inside, effects after its commit."""
        async with self._sessions.begin() as session:
            yield session
        await self._carry_out(effects.named(session))

    async def _carry_out(self, named: Sequence[Effect]) -> None:
        steps, answer, error = effects.steps(named, redis=self._hot is not None), None, None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                self.left_to_sweeps += end.value
                return
            try:
                answer, error = await self._do(step), None
            except Exception as failure:
                error = failure

    async def _do(self, step: Step) -> Any:
        match step:
            case Confirmation():
                return await self.use(step.use_case)
            case StartTask():
                return None
            case _:
                if self._hot is None:
                    raise ConnectionError("no Redis is known here")
                return await self._hot.run(step)

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

    async def decide(
        self, use_case: Callable[Concatenate[Session, P], R | Decision[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`use`; where Redis decides, what its answer comes to. Raises `redis.RedisError` if Redis cannot be asked: it
        has decided or not, and may be asked again."""
        outcome = await self.use(use_case, *args, **kwargs)
        if not isinstance(outcome, Decision):
            return outcome
        try:
            answer = await self._do(outcome.call)
        except RedisError as error:
            if outcome.away is None:
                raise
            log.warning("redis_away", left_to_sweeps=1, error=str(error))
            return outcome.away
        concluded = await self.use(outcome.conclude, answer)
        if isinstance(concluded, Exception):
            raise concluded
        return concluded

    async def decide_each(
        self,
        use_case: Callable[Concatenate[Session, UUID, P], R | Decision[R]],
        ids: Iterable[UUID],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> dict[UUID, R | None]:
        """`decide` for one id after the other. None for one that fails, which keeps no other from its turn."""
        outcomes: dict[UUID, R | None] = {}
        for each in ids:
            try:
                outcome: R = await self.decide(use_case, each, *args, **kwargs)
                outcomes[each] = outcome
            except Exception as error:
                log.warning("one_of_many_failed", id=str(each), error=repr(error))
                outcomes[each] = None
        return outcomes

    async def dispose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


class SyncDatabase:
    """PostgreSQL for Celery. Make it after the fork: connections must not be shared between processes. `hot` as for
    `Database`, and `start_task` leaves a task to a worker."""

    def __init__(
        self,
        url: str,
        hot: SyncHot | None = None,
        start_task: Callable[[StartTask], None] = lambda _task: None,
    ) -> None:
        self._hot = hot
        self._start_task = start_task
        self._engine = create_engine(psycopg_url(url), **_engine_options())
        self._sessions = sessionmaker(self._engine, expire_on_commit=False)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: use-cases inside, effects after its commit."""
        with self._sessions.begin() as session:
            yield session
        self._carry_out(effects.named(session))

    def _carry_out(self, named: Sequence[Effect]) -> None:
        steps, answer, error = effects.steps(named, redis=self._hot is not None), None, None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration:
                return
            try:
                answer, error = self._do(step), None
            except Exception as failure:
                error = failure

    def _do(self, step: Step) -> Any:
        match step:
            case Confirmation():
                with self.transaction() as session:
                    return step.use_case(session)
            case StartTask():
                return self._start_task(step)
            case _:
                assert self._hot is not None
                return self._hot.run(step)

    def dispose(self) -> None:
        """Close every connection."""
        self._engine.dispose()
