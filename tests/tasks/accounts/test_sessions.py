"""What no request has told the sockets, the sweeps tell."""

from dataclasses import replace

from sqlalchemy import func, select, update
from structlog.testing import capture_logs

from market.accounts import sessions
from market.accounts.sessions import Lifetime, RefreshToken
from store import models
from store.database import SyncDatabase
from store.redis.clients import SyncHot
from tasks.accounts.sessions import close_sockets, end_expired
from tasks.app import Resources
from tests.support.effects import die_after_commit, unclosed
from tests.support.factories import make_user

CLOSED_PORT = 1
"""Nobody listens there."""


def test_a_revocation_that_redis_did_not_hear_is_told_once(resources: Resources) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        gone, there = (
            sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60)) for _ in range(2)
        )
        sessions.revoke_all(session, user, keep=there)
        die_after_commit(session)

    close_sockets(resources)

    assert resources.hot.client.exists(f"revoked:{gone}")
    assert not resources.hot.client.exists(f"revoked:{there}")
    with resources.database.transaction() as session:
        assert gone not in unclosed(session)


def test_a_revocation_stays_untold_while_redis_is_away(resources: Resources, database_url: str) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        gone = sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60))
        sessions.revoke_all(session, user)
        die_after_commit(session)
    nowhere = SyncHot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")

    database = SyncDatabase(database_url, nowhere)

    with capture_logs() as logs:
        close_sockets(replace(resources, database=database))

    assert "redis_away" in [entry["event"] for entry in logs]
    database.dispose()
    nowhere.client.close()
    with resources.database.transaction() as session:
        assert gone in unclosed(session)


def test_an_expired_session_is_told_and_deleted(resources: Resources) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        there = sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60))
        gone = sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60))
        session.execute(update(models.Session).where(models.Session.id == gone).values(expires_at=func.now()))

    end_expired(resources)

    assert resources.hot.client.exists(f"revoked:{gone}")
    assert not resources.hot.client.exists(f"revoked:{there}")
    with resources.database.transaction() as session:
        left = select(models.Session.id).where(models.Session.user_id == user)
        assert list(session.scalars(left)) == [there]
