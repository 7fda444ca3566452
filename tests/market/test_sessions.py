"""Sessions: who is let in, and for how long."""

import os
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import accounts, sessions
from market.errors import Refusal
from market.sessions import Lifetime, LogIn, Principal, Reused
from store import models
from store.database import SyncDatabase
from store.models import Role, User
from store.vault import Vault
from tests.database import NO_PASSWORD, make_user
from tests.market.parallel import at_once

LIFETIME = Lifetime(60, 120)
VAULT = Vault({"test": os.urandom(32)})


def log_in_once(session: Session, user: UUID) -> LogIn:
    token = os.urandom(32)
    outcome = sessions.log_in(session, VAULT, user, NO_PASSWORD, None, token, LIFETIME)
    assert isinstance(outcome, LogIn)
    return outcome


def test_a_session_authenticates_its_user_until_it_is_revoked(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, os.urandom(32), LIFETIME)
    assert sessions.authenticate(db_session, opened, user) == Principal(user, opened)
    assert sessions.authenticate(db_session, opened, make_user(db_session)) is None
    assert sessions.authenticate(db_session, user, opened) is None
    assert sessions.revoke(db_session, user, opened) == [opened]
    assert sessions.authenticate(db_session, opened, user) is None


def test_a_role_counts_at_once(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, os.urandom(32), LIFETIME)
    db_session.execute(update(User).where(User.id == user).values(role=Role.MODERATOR))
    assert sessions.authenticate(db_session, opened, user) == Principal(user, opened, Role.MODERATOR)


def test_a_session_ends_with_its_time(db_session: Session) -> None:
    user = make_user(db_session)
    opened = sessions.open_session(db_session, user, os.urandom(32), LIFETIME)
    db_session.execute(
        update(models.Session).where(models.Session.id == opened).values(expires_at=func.now())
    )
    assert sessions.authenticate(db_session, opened, user) is None
    with pytest.raises(Refusal, match="not_found"):
        sessions.revoke(db_session, user, opened)


def test_of_parallel_refreshes_one_wins_and_nothing_is_revoked(sync_database: SyncDatabase) -> None:
    shown = os.urandom(32)
    with sync_database.transaction() as session:
        user = make_user(session)
        opened = sessions.open_session(session, user, shown, LIFETIME)

    def refresh() -> Principal | Reused:
        with sync_database.transaction() as session:
            return sessions.refresh(session, shown, os.urandom(32), 60)

    results = at_once([refresh] * 8)
    assert results.count("refresh_conflict") == 7
    assert Principal(user, opened) in results


def test_no_log_in_by_the_old_password_survives_its_change(sync_database: SyncDatabase) -> None:
    def log_in() -> object:
        with sync_database.transaction() as session:
            return log_in_once(session, user)

    def change() -> object:
        with sync_database.transaction() as session:
            accounts.change_password(session, user, NO_PASSWORD, "another")
            return sessions.revoke_all(session, user)

    for _ in range(5):
        with sync_database.transaction() as session:
            user = make_user(session)
        at_once([change, *[log_in] * 7])
        with sync_database.transaction() as session:
            still_open = select(models.Session.id).where(
                models.Session.user_id == user, models.Session.revoked_at.is_(None)
            )
            assert list(session.scalars(still_open)) == []


def test_of_two_password_changes_at_once_one_is_refused(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        user = make_user(session)

    def change() -> None:
        with sync_database.transaction() as session:
            accounts.change_password(session, user, NO_PASSWORD, "another")

    assert at_once([change] * 4).count("invalid_credentials") == 3


def still_open(session: Session, user: UUID) -> list[UUID]:
    which = (models.Session.user_id == user) & models.Session.revoked_at.is_(None)
    return sorted(session.scalars(select(models.Session.id).where(which)))


def test_one_session_too_many_ends_the_one_unused_for_longest(db_session: Session) -> None:
    user, other = make_user(db_session), make_user(db_session)
    elsewhere = sessions.open_session(db_session, other, os.urandom(32), LIFETIME)
    mine = [
        sessions.open_session(db_session, user, os.urandom(32), LIFETIME) for _ in range(sessions.MAX_OPEN)
    ]
    over, unused = mine[7], mine[30]
    # One that is over leaves room for another.
    db_session.execute(update(models.Session).where(models.Session.id == over).values(expires_at=func.now()))
    assert log_in_once(db_session, user).ended == []
    longest = {"refreshed_at": func.now() - timedelta(minutes=1)}
    db_session.execute(update(models.Session).where(models.Session.id == unused).values(longest))
    assert log_in_once(db_session, user).ended == [unused]
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
