"""What follows a commit. A use-case names it with `after_commit`; `store.database` carries it out, whatever door it is.

An effect may get lost: the process dies between the commit and it, or Redis is away. So it is never the only trace of
anything. What must reach Redis is found in PostgreSQL by a sweep, which names it anew until it is confirmed there; a
push is a hint about what the lists of the API say, too; an alarm stands in its table.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

import structlog
from redis import RedisError, ResponseError
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from store.redis import mirrors, pushes, revocations, switches
from store.redis.auctions import HotAuction, HotPaddle, load_auction, put_paddle
from store.redis.calls import Batch, Call
from store.redis.pushes import Push
from store.redis.records import Record, SealRecord
from store.redis.switches import Switches

A = TypeVar("A")
T = TypeVar("T")

_NAMED = "effects"
_FAILED = object()

log = structlog.get_logger()


class InRedis(ABC, Generic[A]):
    """Something that Redis must know of a commit. The docstring of each names the task that finds what a crash kept
    from Redis. `confirm` notes Redis's answer, in a transaction of its own."""

    confirm: Callable[[Session, A], object] | None = None

    @abstractmethod
    def call(self) -> Call[A] | Batch[A]:
        """What Redis is asked. Asking it again is harmless."""


@dataclass(frozen=True)
class LoadAuction(InRedis[bool]):
    """A live auction was published: `tasks.bidding.hot_state.load_missing`."""

    auction: HotAuction

    def call(self) -> Call[bool]:
        return load_auction(self.auction)


@dataclass(frozen=True)
class MirrorAuction(InRedis[bool]):
    """A neighbourhood auction has changed, and its viewers see it: `tasks.bidding.neighbourhood.mirror_missing`."""

    auction: HotAuction
    records: Sequence[Record]
    seal: SealRecord | None

    def call(self) -> Call[bool]:
        return mirrors.mirror(self.auction, self.records, self.seal)


@dataclass(frozen=True)
class PutPaddle(InRedis[str]):
    """A paddle has changed: `tasks.bidding.hot_state.sweep_paddles`."""

    auction_id: UUID
    paddle: HotPaddle
    confirm: Callable[[Session, str], object]

    def call(self) -> Call[str]:
        return put_paddle(self.auction_id, self.paddle)


@dataclass(frozen=True)
class CloseSockets(InRedis[None]):
    """Sessions have ended: `tasks.accounts.sessions.close_sockets`."""

    session_ids: Sequence[UUID]
    confirm: Callable[[Session, None], object]

    def call(self) -> Batch[None]:
        return revocations.publish(self.session_ids)


@dataclass(frozen=True)
class PutSwitches(InRedis[bool]):
    """Functions of the platform were switched: `tasks.platform.settings.bring_switches`."""

    version: int
    switches: Switches

    def call(self) -> Call[bool]:
        return switches.put(self.version, self.switches)


@dataclass(frozen=True, slots=True)
class ToUser:
    """A push to all open sockets of a user."""

    user_id: UUID
    push: Push


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Something for the log that is only true once it is committed. The level is a method of the logger."""

    level: str
    event: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StartTask:
    """A task that need not wait for its next periodic run; only processes that can start tasks do."""

    name: str
    argument: str


Effect = InRedis[Any] | ToUser | LogEvent | StartTask


@dataclass(frozen=True, slots=True)
class Decision(Generic[T]):
    """What a use-case answers where Redis decides: the call to make after the commit, and the use-case that concludes
    from its answer. An exception that it returns is raised after its commit. While Redis is away, `away` is the answer,
    if there is one to give."""

    call: Call[Any] | Batch[Any]
    conclude: Callable[[Session, Any], T | Exception]
    away: T | None = None


def after_commit(session: Session, *effects: Effect) -> None:
    """Have these carried out once the transaction is committed. What a savepoint takes back is not."""
    within = session.get_nested_transaction() or session.get_transaction()
    session.info.setdefault(_NAMED, []).extend((within, effect) for effect in effects)


@event.listens_for(Session, "after_soft_rollback")
def _take_back(session: Session, ended: SessionTransaction) -> None:
    session.info[_NAMED] = [
        (within, effect) for within, effect in session.info.get(_NAMED, []) if not _is_part(within, ended)
    ]


def _is_part(within: SessionTransaction | None, whole: SessionTransaction) -> bool:
    while within is not None and within is not whole:
        within = within.parent
    return within is whole


def named(session: Session | AsyncSession) -> list[Effect]:
    """What is carried out when the transaction is committed as it stands."""
    return [effect for _, effect in session.info.get(_NAMED, [])]


def pushes_to_users(session: Session | AsyncSession) -> list[tuple[UUID, Push]]:
    """What is pushed to whom when the transaction is committed as it stands."""
    return _told(named(session))


def _told(effects: Sequence[Effect]) -> list[tuple[UUID, Push]]:
    return [(effect.user_id, effect.push) for effect in effects if isinstance(effect, ToUser)]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A use-case to be run in a transaction of its own."""

    use_case: Callable[[Session], object]


Step = Call[Any] | Batch[Any] | Confirmation | StartTask


def steps(effects: Sequence[Effect], *, redis: bool) -> Generator[Step, Any, int]:
    """How effects are carried out: the caller, who has the connections, does each step and sends its answer back or
    throws its error in. Returns how many effects were left to the sweeps: all, without `redis`.

    Whatever goes wrong is logged and not raised: the transaction is committed, and must not look as if it were not.
    """
    for each in effects:
        if isinstance(each, LogEvent):
            getattr(log, each.level)(each.event, **each.fields)
        elif isinstance(each, StartTask):
            try:
                yield each
            except Exception as error:
                log.warning("task_not_started", task=each.name, error=repr(error))
    in_redis = [each for each in effects if isinstance(each, InRedis)]
    if not redis:
        return len(in_redis)
    carried_out = 0
    try:
        told = _told(effects)
        if told:
            yield from _ask(pushes.publish(told), "ToUser")
        for effect in in_redis:
            carried_out += yield from _carry_out(effect)
    except RedisError as error:
        log.warning("redis_away", left_to_sweeps=len(in_redis) - carried_out, error=str(error))
    return len(in_redis) - carried_out


def _carry_out(effect: InRedis[Any]) -> Generator[Step, Any, bool]:
    """Whether it was done."""
    name = type(effect).__name__
    answer = yield from _ask(effect.call(), name)
    confirm = effect.confirm
    if answer is not _FAILED and confirm is not None:
        try:
            yield Confirmation(lambda session: confirm(session, answer))
        except Exception:
            # It is done all the same: the sweep asks Redis again, and notes it then.
            log.exception("effect_not_confirmed", effect=name)
    return answer is not _FAILED


def _ask(call: Call[Any] | Batch[Any], effect: str) -> Generator[Step, Any, Any]:
    """Redis's answer, or `_FAILED`. Raises `redis.RedisError` if Redis is away: no other effect waits for it then."""
    try:
        answer = yield call
    except Exception as error:
        if isinstance(error, RedisError) and not isinstance(error, ResponseError):
            raise
        log.exception("effect_failed", effect=effect)
        return _FAILED
    return answer
