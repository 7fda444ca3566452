"""Browsers that subscribe at the same moment, or while their user is leaving. tests/handlers/test_channels.py has the
rest."""

from functools import partial
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import push_subscriptions
from market.errors import Refusal
from market.push_subscriptions import MAX_SUBSCRIPTIONS
from store.database import SyncDatabase
from store.ids import new_id
from store.models import PushSubscription, User
from tests.database import make_user
from tests.market.parallel import at_once

P256DH = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def add(session: Session, user_id: UUID, endpoint: str) -> UUID:
    return push_subscriptions.add(session, user_id, endpoint, P256DH, bytes(16), private_allowed=False).id


def count(session: Session, user_id: UUID) -> int:
    rows = select(func.count()).where(PushSubscription.user_id == user_id)
    return session.scalars(rows).one()


def test_many_browsers_at_once_are_not_too_many(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        ann = make_user(session)

    def subscribe() -> UUID:
        with sync_database.transaction() as session:
            return add(session, ann, f"https://push.example/{new_id()}")

    at_once([subscribe] * (MAX_SUBSCRIPTIONS + 6))
    with sync_database.transaction() as session:
        assert count(session, ann) == MAX_SUBSCRIPTIONS


def test_one_browser_that_two_users_subscribe_at_once_is_one_of_theirs(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        users = [make_user(session) for _ in range(6)]
    endpoint = f"https://push.example/{new_id()}"

    def subscribe(user_id: UUID) -> UUID:
        with sync_database.transaction() as session:
            return add(session, user_id, endpoint)

    ids = at_once([partial(subscribe, user_id) for user_id in users])
    assert len(set(ids)) == 1
    with sync_database.transaction() as session:
        assert sorted(count(session, user_id) for user_id in users) == [0] * 5 + [1]


def test_a_deleted_account_gets_no_browser(db_session: Session) -> None:
    ann = make_user(db_session)
    db_session.execute(update(User).where(User.id == ann).values(deleted_at=func.now()))
    with pytest.raises(Refusal, match="unauthenticated"):
        add(db_session, ann, f"https://push.example/{new_id()}")
    assert count(db_session, ann) == 0
