"""What no request has told the sockets, the sweeps tell."""

from dataclasses import replace

import pytest
from redis import RedisError
from sqlalchemy import func, select, update

from market.accounts import sessions
from market.accounts.sessions import Lifetime, RefreshToken
from store import models
from store.redis.hot import SyncHot
from tasks.accounts.sessions import end_expired, tell_revoked
from tasks.app import Resources
from tests.support.database import make_user

CLOSED_PORT = 1
"""Nobody listens there."""


def test_a_revocation_that_redis_did_not_hear_is_told_once(resources: Resources) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        gone, there = (
            sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60)) for _ in range(2)
        )
        sessions.revoke_all(session, user, keep=there)

    tell_revoked(resources)

    assert resources.hot.client.exists(f"revoked:{gone}")
    assert not resources.hot.client.exists(f"revoked:{there}")
    with resources.database.transaction() as session:
        assert gone not in sessions.untold(session)


def test_a_revocation_stays_untold_while_redis_is_away(resources: Resources) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        gone = sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60))
        sessions.revoke_all(session, user)
    nowhere = SyncHot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")

    with pytest.raises(RedisError):
        tell_revoked(replace(resources, hot=nowhere))

    nowhere.client.close()
    with resources.database.transaction() as session:
        assert gone in sessions.untold(session)


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
