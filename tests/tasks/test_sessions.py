"""What no request has told the sockets, the sweeps tell."""

import os

from sqlalchemy import func, select, update

from market import sessions
from market.sessions import Lifetime
from store import models
from store.models import SpentToken
from tasks.app import Resources
from tasks.sessions import end_expired, tell_revoked
from tests.database import make_user


def test_a_revocation_that_redis_did_not_hear_is_told_once(resources: Resources) -> None:
    with resources.database.transaction() as session:
        user = make_user(session)
        gone, there = (
            sessions.open_session(session, user, os.urandom(32), Lifetime(60, 60)) for _ in range(2)
        )
        sessions.revoke_all(session, user, keep=there)

    tell_revoked(resources)

    assert resources.hot.client.exists(f"revoked:{gone}")
    assert not resources.hot.client.exists(f"revoked:{there}")
    with resources.database.transaction() as session:
        assert gone not in sessions.untold(session)


def test_an_expired_session_is_told_and_deleted_with_its_spent_tokens(resources: Resources) -> None:
    shown = os.urandom(32)
    with resources.database.transaction() as session:
        user = make_user(session)
        there = sessions.open_session(session, user, os.urandom(32), Lifetime(60, 60))
        gone = sessions.open_session(session, user, shown, Lifetime(60, 60))
        sessions.refresh(session, shown, os.urandom(32), 60)
        session.execute(update(models.Session).where(models.Session.id == gone).values(expires_at=func.now()))

    end_expired(resources)

    assert resources.hot.client.exists(f"revoked:{gone}")
    assert not resources.hot.client.exists(f"revoked:{there}")
    with resources.database.transaction() as session:
        left = select(models.Session.id).where(models.Session.user_id == user)
        assert list(session.scalars(left)) == [there]
        spent = select(SpentToken.token_hash).where(SpentToken.session_id == gone)
        assert session.scalar(spent) is None
