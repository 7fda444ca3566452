"""Effects: carried out after the commit and only then, and nothing that happens there fails what is committed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import ResponseError
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from store import effects
from store.database import Database, SyncDatabase
from store.effects import CloseSockets, Decision, LogEvent, PutSwitches, StartTask, ToUser
from store.ids import new_id
from store.models import User
from store.redis import switches
from store.redis.calls import Batch
from store.redis.clients import Hot, SyncHot
from store.redis.pushes import UnreadPush, channel_of
from store.redis.switches import Switches
from tests.support.factories import make_user

NOWHERE = "redis://127.0.0.1:1"


@pytest.fixture
def started() -> list[StartTask]:
    """The tasks that were left to workers."""
    return []


@pytest.fixture
def with_redis(database_url: str, sync_hot: SyncHot, started: list[StartTask]) -> Iterator[SyncDatabase]:
    database = SyncDatabase(database_url, sync_hot, started.append)
    yield database
    database.dispose()


def said(logs: Sequence[Mapping[str, Any]]) -> list[object]:
    return [entry["event"] for entry in logs]


def note(session: Session, event: str) -> None:
    effects.after_commit(session, LogEvent("info", event, {}))


def is_closed(hot: SyncHot, session_id: UUID) -> bool:
    return bool(hot.client.exists(f"revoked:{session_id}"))


def test_what_is_rolled_back_is_followed_by_nothing(with_redis: SyncDatabase) -> None:
    def fail() -> None:
        with with_redis.transaction() as session:
            note(session, "never")
            raise RuntimeError

    with capture_logs() as logs, pytest.raises(RuntimeError):
        fail()
    assert said(logs) == []


def test_a_savepoint_takes_its_own_effects_back_and_no_others(with_redis: SyncDatabase) -> None:
    def fail(session: Session) -> None:
        with session.begin_nested():
            note(session, "in a savepoint")
            with session.begin_nested():
                note(session, "deeper")
            raise RuntimeError

    with capture_logs() as logs, with_redis.transaction() as session:
        note(session, "before")
        with pytest.raises(RuntimeError):
            fail(session)
        with session.begin_nested():
            note(session, "kept")
        assert said(logs) == [], "not before the commit"
    assert said(logs) == ["before", "kept"]


def test_every_kind_of_effect_is_carried_out(
    with_redis: SyncDatabase, sync_hot: SyncHot, started: list[StartTask]
) -> None:
    user_id, gone, confirmed = new_id(), new_id(), []
    subscriber = sync_hot.client.pubsub()
    subscriber.ssubscribe(channel_of(user_id))
    while subscriber.get_sharded_message(timeout=5)["type"] != "ssubscribe":
        pass
    with capture_logs() as logs, with_redis.transaction() as session:
        effects.after_commit(
            session,
            ToUser(user_id, UnreadPush(unread=3)),
            CloseSockets([gone], lambda session, _: confirmed.append(session.scalar(select(1)))),
            StartTask("a.task", "its argument"),
            LogEvent("warning", "it_is_done", {"what": "all"}),
        )
    assert logs == [{"log_level": "warning", "event": "it_is_done", "what": "all"}]
    assert started == [StartTask("a.task", "its argument")]
    assert is_closed(sync_hot, gone)
    assert confirmed == [1]
    assert subscriber.get_sharded_message(timeout=5)["data"] == b'{"type":"unread","unread":3}'
    subscriber.close()


def test_while_redis_is_away_what_it_must_know_is_left_to_the_sweeps_and_the_rest_is_done(
    database_url: str, started: list[StartTask]
) -> None:
    away = SyncHot.connect(NOWHERE)
    database = SyncDatabase(database_url, away, started.append)
    confirmed: list[None] = []
    with capture_logs() as logs, database.transaction() as session:
        user_id = make_user(session)
        effects.after_commit(
            session,
            ToUser(user_id, UnreadPush(unread=1)),
            CloseSockets([new_id()], lambda _, answer: confirmed.append(answer)),
            PutSwitches(1, Switches()),
            StartTask("a.task", "x"),
        )
    assert [(entry["event"], entry.get("left_to_sweeps")) for entry in logs] == [("redis_away", 2)]
    assert len(started) == 1
    assert confirmed == []
    with database.transaction() as session:
        assert session.get(User, user_id) is not None
    database.dispose()
    away.client.close()


def test_what_redis_refuses_and_what_cannot_be_confirmed_keep_nothing_else_from_it(
    with_redis: SyncDatabase, sync_hot: SyncHot, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = new_id(), new_id()

    def refuse(_version: int, _switches: Switches) -> Batch[bool]:
        return Batch(lambda pipe: pipe.execute_command("NO SUCH COMMAND"), bool)

    def fail(session: Session, _answer: None) -> None:
        session.execute(text("SELECT 1 / 0"))

    monkeypatch.setattr(switches, "put", refuse)
    with pytest.raises(ResponseError):
        sync_hot.run(refuse(1, Switches()))
    with capture_logs() as logs, with_redis.transaction() as session:
        effects.after_commit(
            session,
            PutSwitches(1, Switches()),
            CloseSockets([first], fail),
            CloseSockets([second], lambda _session, _answer: None),
        )
    assert said(logs) == ["effect_failed", "effect_not_confirmed"]
    assert is_closed(sync_hot, first)
    assert is_closed(sync_hot, second)


def test_neither_a_broker_that_is_away_nor_an_answer_that_makes_no_sense_fails_what_is_committed(
    database_url: str, sync_hot: SyncHot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_task: StartTask) -> None:
        raise OSError("the broker is away")

    database, gone = SyncDatabase(database_url, sync_hot, away), new_id()
    monkeypatch.setattr(
        switches, "put", lambda *_: Batch(lambda pipe: pipe.ping(), lambda replies: replies[7])
    )
    with capture_logs() as logs, database.transaction() as session:
        effects.after_commit(
            session,
            StartTask("a.task", "x"),
            PutSwitches(1, Switches()),
            CloseSockets([gone], lambda _session, _answer: None),
        )
    assert said(logs) == ["task_not_started", "effect_failed"]
    assert is_closed(sync_hot, gone)
    database.dispose()


def test_a_confirmation_may_have_effects_of_its_own(with_redis: SyncDatabase) -> None:
    with capture_logs() as logs, with_redis.transaction() as session:
        effects.after_commit(session, CloseSockets([new_id()], lambda session, _: note(session, "at last")))
    assert said(logs) == ["at last"]


async def test_on_asyncio_they_are_carried_out_alike(database: Database, database_url: str, hot: Hot) -> None:
    own, gone = Database(database_url, hot), new_id()

    def end(session: Session) -> None:
        effects.after_commit(session, CloseSockets([gone], lambda session, _: note(session, "confirmed")))

    with capture_logs() as logs:
        await own.use(end)
    assert said(logs) == ["confirmed"]
    assert await hot.client.exists(f"revoked:{gone}")
    assert own.left_to_sweeps == 0
    with capture_logs() as logs:
        await database.use(end)
    assert said(logs) == [], "there is no Redis"
    assert database.left_to_sweeps == 1
    await own.dispose()


def ask(session: Session) -> str | Decision[str]:
    note(session, "asked")
    return Decision(
        Batch(lambda pipe: pipe.echo("yes"), lambda replies: replies[0]),
        lambda session, answer: f"Redis says {answer.decode()}",
        away="nobody knows",
    )


async def test_where_redis_decides_its_answer_concludes(database_url: str, hot: Hot) -> None:
    own = Database(database_url, hot)
    with capture_logs() as logs:
        assert await own.decide(ask) == "Redis says yes"
    assert said(logs) == ["asked"], "the question was committed"
    assert await own.decide(lambda session: "no question") == "no question"
    await own.dispose()


async def test_a_refusal_by_redis_does_not_take_back_what_its_answer_has_changed(
    database_url: str, hot: Hot
) -> None:
    own = Database(database_url, hot)

    def conclude(session: Session, _answer: list[bytes]) -> Exception:
        note(session, "noted")
        return ValueError("refused")

    with capture_logs() as logs, pytest.raises(ValueError, match="refused"):
        await own.decide(
            lambda session: Decision(Batch(lambda pipe: pipe.ping(), lambda replies: replies), conclude)
        )
    assert said(logs) == ["noted"]
    await own.dispose()


async def test_while_redis_is_away_a_decision_is_what_it_is_then_or_an_error(database_url: str) -> None:
    away = Hot.connect(NOWHERE)
    own = Database(database_url, away)
    assert await own.decide(ask) == "nobody knows"

    def must_know(session: Session) -> str | Decision[str]:
        return Decision(Batch(lambda pipe: pipe.ping(), str), lambda _, answer: answer)

    with pytest.raises(RedisConnectionError):
        await own.decide(must_know)
    outcomes = await own.decide_each(lambda session, id: id if id.int % 2 else must_know(session), [])
    assert outcomes == {}
    await own.dispose()
    await away.close()


async def test_of_many_decisions_one_that_fails_keeps_no_other_from_its_turn(
    database_url: str, hot: Hot
) -> None:
    own = Database(database_url, hot)
    first, broken, last = (new_id() for _ in range(3))

    def decide(_session: Session, id: UUID, answer: str) -> str:
        if id == broken:
            raise RuntimeError
        return answer

    with capture_logs() as logs:
        outcomes = await own.decide_each(decide, [first, broken, last], "done")
    assert outcomes == {first: "done", broken: None, last: "done"}
    assert said(logs) == ["one_of_many_failed"]
    await own.dispose()
