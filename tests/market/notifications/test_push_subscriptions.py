"""Browsers that subscribe at the same moment, or while their user is leaving.
tests/handlers/notifications/test_push_subscriptions.py has the rest."""

from contextlib import suppress
from functools import partial
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.accounts import sessions
from market.accounts.sessions import Lifetime, LogIn, RefreshToken
from market.errors import Refusal
from market.notifications import push_subscriptions
from market.notifications.push_subscriptions import MAX_SUBSCRIPTIONS
from store import models
from store.database import SyncDatabase
from store.ids import new_id
from store.models import PushSubscription
from tests.support.factories import make_user
from tests.support.races import at_once

P256DH = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def log_in(session: Session, user_id: UUID) -> LogIn:
    return LogIn(user_id, sessions.open_session(session, user_id, RefreshToken.new(), Lifetime(3600, 3600)))


def add(session: Session, who: LogIn, endpoint: str | None = None) -> UUID:
    """Subscribe a new browser, or that with the endpoint."""
    endpoint = endpoint or f"https://push.example/{new_id()}"
    return push_subscriptions.add(
        session, who.user_id, who.session_id, endpoint, P256DH, bytes(16), private_allowed=False
    ).id


def count(session: Session, user_id: UUID) -> int:
    rows = select(func.count()).where(PushSubscription.user_id == user_id)
    return session.scalars(rows).one()


def test_many_browsers_at_once_are_not_too_many(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        ann = make_user(session)
        by = log_in(session, ann)

    def subscribe() -> UUID:
        with sync_database.transaction() as session:
            return add(session, by)

    at_once([subscribe] * (MAX_SUBSCRIPTIONS + 6))
    with sync_database.transaction() as session:
        assert count(session, ann) == MAX_SUBSCRIPTIONS


def test_one_browser_that_two_users_subscribe_at_once_is_one_of_theirs(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        users = [make_user(session) for _ in range(6)]
        by = [log_in(session, user_id) for user_id in users]
    endpoint = f"https://push.example/{new_id()}"

    def subscribe(who: LogIn) -> UUID:
        with sync_database.transaction() as session:
            return add(session, who, endpoint)

    ids = at_once([partial(subscribe, who) for who in by])
    assert len(set(ids)) == 1
    with sync_database.transaction() as session:
        assert sorted(count(session, user_id) for user_id in users) == [0] * 5 + [1]


def test_a_browser_goes_with_the_log_in_that_has_subscribed_it(db_session: Session) -> None:
    ann = make_user(db_session)
    here, there, stolen = (log_in(db_session, ann) for _ in range(3))
    for by in (here, there, stolen):
        add(db_session, by)
    sessions.log_out(db_session, there)
    assert count(db_session, ann) == 2
    sessions.revoke_all(db_session, ann, keep=here.session_id)
    assert count(db_session, ann) == 1
    moved = f"https://push.example/{new_id()}"
    add(db_session, here, moved)
    add(db_session, later := log_in(db_session, ann), moved)
    sessions.log_out(db_session, here)
    assert count(db_session, ann) == 1
    expire = update(models.Session).where(models.Session.id == later.session_id)
    db_session.execute(expire.values(expires_at=func.now(), ends_at=func.now()))
    sessions._forget(db_session, [later.session_id])
    assert count(db_session, ann) == 0


def test_a_log_in_that_is_over_subscribes_no_browser(db_session: Session) -> None:
    ann = make_user(db_session)
    over = log_in(db_session, ann)
    sessions.ban(db_session, ann)
    with pytest.raises(Refusal, match="unauthenticated"):
        add(db_session, over)
    assert count(db_session, ann) == 0


def test_of_subscribing_and_the_end_of_the_log_in_at_once_no_browser_is_left(
    sync_database: SyncDatabase,
) -> None:
    def subscribe(who: LogIn) -> None:
        with sync_database.transaction() as session, suppress(Refusal):
            add(session, who)

    def end(who: LogIn) -> None:
        with sync_database.transaction() as session:
            sessions.log_out(session, who)

    for _ in range(5):
        with sync_database.transaction() as session:
            ann = make_user(session)
            by = log_in(session, ann)
        at_once([partial(subscribe, by), partial(end, by), partial(subscribe, by)])
        with sync_database.transaction() as session:
            assert count(session, ann) == 0
