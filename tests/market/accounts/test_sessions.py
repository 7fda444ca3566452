"""Sessions: who is let in, and for how long."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from market.accounts import accounts, sessions
from market.accounts.sessions import (
    Lifetime,
    LogIn,
    Principal,
    Refreshed,
    RefreshToken,
    Reused,
)
from market.errors import Refusal
from store import models
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role, User
from store.vault import Vault
from tests.support.effects import ended
from tests.support.factories import NO_PASSWORD, make_user
from tests.support.races import at_once

LIFETIME = Lifetime(60, 120)
VAULT = Vault({"test": os.urandom(32)})


def log_in_once(session: Session, user: UUID) -> LogIn:
    token = RefreshToken.new()
    outcome = sessions.log_in(session, VAULT, user, NO_PASSWORD, None, token, LIFETIME)
    assert isinstance(outcome, LogIn)
    return outcome


def test_a_session_authenticates_its_user_until_it_is_revoked(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
    assert sessions.authenticate(db_session, opened, user) == Principal(user, opened)
    assert sessions.authenticate(db_session, opened, make_user(db_session)) is None
    assert sessions.authenticate(db_session, user, opened) is None
    sessions.revoke(db_session, user, opened)
    assert ended(db_session) == [opened]
    assert sessions.authenticate(db_session, opened, user) is None


def test_a_role_counts_at_once(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
    db_session.execute(update(User).where(User.id == user).values(role=Role.MODERATOR))
    assert sessions.authenticate(db_session, opened, user) == Principal(user, opened, Role.MODERATOR)


def test_a_session_ends_with_its_time(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
    db_session.execute(
        update(models.Session).where(models.Session.id == opened).values(expires_at=func.now())
    )
    assert sessions.authenticate(db_session, opened, user) is None
    with pytest.raises(Refusal, match="not_found"):
        sessions.revoke(db_session, user, opened)


def refreshed(session: Session, token: RefreshToken) -> RefreshToken:
    """The next token of a refresh that has to succeed."""
    outcome = sessions.refresh(session, token, LIFETIME.idle_s)
    assert isinstance(outcome, Refreshed)
    return outcome.token


def refresh(database: SyncDatabase, token: RefreshToken) -> Refreshed | Reused:
    """A refresh in a transaction of its own."""
    with database.transaction() as session:
        return sessions.refresh(session, token, LIFETIME.idle_s)


def is_open(database: SyncDatabase, opened: LogIn) -> bool:
    with database.transaction() as session:
        return sessions.authenticate(session, opened.session_id, opened.user_id) is not None


def open_for_somebody(database: SyncDatabase, token: RefreshToken) -> LogIn:
    with database.transaction() as session:
        user = make_user(session)
        return LogIn(user, sessions.open_session(session, user, token, LIFETIME))


def test_of_parallel_refreshes_all_get_the_same_next_token(sync_database: SyncDatabase) -> None:
    shown = RefreshToken.new()
    opened = open_for_somebody(sync_database, shown)
    results = at_once([lambda: refresh(sync_database, shown)] * 8)
    first = results[0]
    assert isinstance(first, Refreshed)
    assert first.log_in == opened
    assert results == [first] * 8
    assert isinstance(refresh(sync_database, first.token), Refreshed)


def test_a_lost_answer_is_given_again_and_the_session_lives_no_longer_for_it(db_session: Session) -> None:
    user, first = make_user(db_session), RefreshToken.new()
    opened = sessions.open_session(db_session, user, first, LIFETIME)
    second = refreshed(db_session, first)
    query = select(models.Session.refreshed_at, models.Session.expires_at).where(models.Session.id == opened)
    before = db_session.execute(query).one()
    assert sessions.refresh(db_session, first, 90) == Refreshed(LogIn(user, opened), second)
    assert db_session.execute(query).one() == before
    assert refreshed(db_session, second) not in (first, second)


@pytest.mark.parametrize("shown", ["first", "previous but too late", "garbage"])
def test_any_part_that_is_neither_the_current_nor_the_one_just_exchanged_ends_the_session(
    db_session: Session, shown: str
) -> None:
    user, first = make_user(db_session), RefreshToken.new()
    opened = sessions.open_session(db_session, user, first, LIFETIME)
    second = refreshed(db_session, first)
    third = refreshed(db_session, second)
    token = {
        "first": first,
        "previous but too late": second,
        "garbage": RefreshToken(first.family, RefreshToken.new().part),
    }[shown]
    if shown == "previous but too late":
        late = models.Session.refreshed_at - timedelta(seconds=sessions.REPEAT_S + 1)
        db_session.execute(
            update(models.Session).where(models.Session.id == opened).values(refreshed_at=late)
        )

    assert sessions.refresh(db_session, token, 60) == Reused(user, opened)

    with pytest.raises(Refusal, match="invalid_refresh_token"):
        sessions.refresh(db_session, token, 60)
    told = db_session.execute(
        select(models.Notification.event, models.Notification.key).where(models.Notification.user_id == user)
    ).all()
    assert told == [("session_stolen", f"session_stolen:{opened}")]
    assert sessions.authenticate(db_session, opened, user) is None
    with pytest.raises(Refusal, match="invalid_refresh_token"):
        sessions.refresh(db_session, third, 60)


def test_before_the_first_refresh_no_other_part_is_good(db_session: Session) -> None:
    user, first = make_user(db_session), RefreshToken.new()
    opened = sessions.open_session(db_session, user, first, LIFETIME)
    assert sessions.refresh(db_session, RefreshToken(first.family, b""), 60) == Reused(user, opened)


def test_nobody_can_guess_a_family(db_session: Session) -> None:
    user, first = make_user(db_session), RefreshToken.new()
    opened = sessions.open_session(db_session, user, first, LIFETIME)
    with pytest.raises(Refusal, match="invalid_refresh_token"):
        sessions.refresh(db_session, RefreshToken(RefreshToken.new().family, first.part), 60)
    assert sessions.authenticate(db_session, opened, user) is not None


def test_the_database_holds_nothing_that_refreshes(db_session: Session) -> None:
    first = RefreshToken.new()
    opened = sessions.open_session(db_session, make_user(db_session), first, LIFETIME)
    second = refreshed(db_session, first)
    stored = db_session.execute(select(models.Session.__table__).where(models.Session.id == opened)).one()
    secrets = {first.family, first.part, second.part}
    assert not secrets & {value for value in stored if isinstance(value, bytes)}


def test_a_reuse_ends_the_session_also_while_it_is_refreshed(sync_database: SyncDatabase) -> None:
    for _ in range(5):
        first = RefreshToken.new()
        opened = open_for_somebody(sync_database, first)
        with sync_database.transaction() as session:
            third = refreshed(session, refreshed(session, first))
        reuse, use = partial(refresh, sync_database, first), partial(refresh, sync_database, third)
        at_once([reuse, use, reuse])
        assert not is_open(sync_database, opened)


def test_ending_all_sessions_ends_one_that_is_refreshed_at_the_moment(sync_database: SyncDatabase) -> None:
    def end() -> object:
        with sync_database.transaction() as session:
            return sessions.revoke_all(session, opened.user_id)

    def use() -> object:
        return refresh(sync_database, first)

    for _ in range(5):
        first = RefreshToken.new()
        opened = open_for_somebody(sync_database, first)
        at_once([end, use, use, use])
        assert not is_open(sync_database, opened)
        with pytest.raises(Refusal, match="invalid_refresh_token"):
            refresh(sync_database, first)


def test_a_refresh_that_waited_for_others_judges_by_what_they_left(sync_database: SyncDatabase) -> None:
    first = RefreshToken.new()
    opened = open_for_somebody(sync_database, first)
    with ThreadPoolExecutor(1) as threads:
        with sync_database.transaction() as session:
            refreshed(session, refreshed(session, first))
            waiting = threads.submit(refresh, sync_database, first)
            query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
            while not session.scalar(text(query)):
                assert not waiting.done()
        assert waiting.result() == Reused(opened.user_id, opened.session_id)


def test_no_log_in_survives_a_ban(sync_database: SyncDatabase) -> None:
    def log_in() -> object:
        with sync_database.transaction() as session:
            return log_in_once(session, user)

    def ban() -> None:
        with sync_database.transaction() as session:
            sessions.ban(session, user)

    for _ in range(5):
        with sync_database.transaction() as session:
            user = make_user(session)
        at_once([ban, *[log_in] * 7])
        assert open_sessions_of(sync_database, user) == []


def open_sessions_of(database: SyncDatabase, user: UUID) -> list[UUID]:
    still_open = select(models.Session.id).where(
        models.Session.user_id == user, models.Session.revoked_at.is_(None)
    )
    with database.transaction() as session:
        return list(session.scalars(still_open))


def test_a_session_that_was_refreshed_in_its_last_moment_is_not_deleted(sync_database: SyncDatabase) -> None:
    opened = open_for_somebody(sync_database, RefreshToken.new())
    this = models.Session.id == opened.session_id
    with sync_database.transaction() as session:
        session.execute(update(models.Session).where(this).values(expires_at=func.now()))
    with sync_database.transaction() as session:
        sessions.end_expired(session)
        assert opened.session_id in ended(session)
        session.execute(update(models.Session).where(this).values(expires_at=models.Session.ends_at))
    with sync_database.transaction() as session:
        sessions._forget(session, [opened.session_id])
    assert is_open(sync_database, opened)


def test_the_sweep_leaves_a_session_alone_that_is_being_refreshed(sync_database: SyncDatabase) -> None:
    token = RefreshToken.new()
    opened = open_for_somebody(sync_database, token)
    with sync_database.transaction() as refreshing:
        sessions.refresh(refreshing, token, 60)
        this = models.Session.id == opened.session_id
        refreshing.execute(update(models.Session).where(this).values(expires_at=func.now()))
        with sync_database.transaction() as session:
            sessions.end_expired(session)
            assert opened.session_id not in ended(session)


def test_what_is_over_when_its_lock_is_there_is_not_refreshed(sync_database: SyncDatabase) -> None:
    token = RefreshToken.new()
    opened = open_for_somebody(sync_database, token)
    with sync_database.transaction() as late:
        late.execute(select(func.now()))  # it begins while there is time
        with sync_database.transaction() as session:
            session.execute(
                update(models.Session)
                .where(models.Session.id == opened.session_id)
                .values(expires_at=func.clock_timestamp())
            )
        with pytest.raises(Refusal, match="invalid_refresh_token"):
            sessions.refresh(late, token, 60)


def test_logging_out_of_what_is_over_is_no_error(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
    for _ in range(2):
        sessions.log_out(db_session, LogIn(user, opened))
        assert ended(db_session) == [opened]


def test_no_log_in_by_the_old_password_survives_its_change(sync_database: SyncDatabase) -> None:
    def log_in() -> object:
        with sync_database.transaction() as session:
            return log_in_once(session, user)

    def change() -> None:
        with sync_database.transaction() as session:
            accounts.change_password(session, user, NO_PASSWORD, "another", keep=new_id())

    for _ in range(5):
        with sync_database.transaction() as session:
            user = make_user(session)
        at_once([change, *[log_in] * 7])
        assert open_sessions_of(sync_database, user) == []


def test_of_two_password_changes_at_once_one_is_refused(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        user = make_user(session)

    def change() -> None:
        with sync_database.transaction() as session:
            accounts.change_password(session, user, NO_PASSWORD, "another", keep=new_id())

    assert at_once([change] * 4).count("invalid_credentials") == 3


def still_open(session: Session, user: UUID) -> list[UUID]:
    which = (models.Session.user_id == user) & models.Session.revoked_at.is_(None)
    return sorted(session.scalars(select(models.Session.id).where(which)))


def test_one_session_too_many_ends_the_one_unused_for_longest(db_session: Session) -> None:
    user, other = make_user(db_session), make_user(db_session)
    elsewhere = sessions.open_session(db_session, other, RefreshToken.new(), LIFETIME)
    mine = [
        sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
        for _ in range(sessions.MAX_OPEN)
    ]
    over, unused = mine[7], mine[30]
    # One that is over leaves room for another.
    db_session.execute(update(models.Session).where(models.Session.id == over).values(expires_at=func.now()))
    log_in_once(db_session, user)
    assert ended(db_session) == []
    longest = {"refreshed_at": func.now() - timedelta(minutes=1)}
    db_session.execute(update(models.Session).where(models.Session.id == unused).values(longest))
    log_in_once(db_session, user)
    assert ended(db_session) == [unused]
    assert len(still_open(db_session, user)) == sessions.MAX_OPEN + 1  # with the one that is over
    assert still_open(db_session, other) == [elsewhere]


def test_log_ins_at_once_do_not_exceed_the_limit(
    sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_OPEN", 2)
    with sync_database.transaction() as session:
        user = make_user(session)

    def log_in() -> LogIn:
        with sync_database.transaction() as session:
            return log_in_once(session, user)

    at_once([log_in] * 8)
    with sync_database.transaction() as session:
        assert len(still_open(session, user)) == 2
