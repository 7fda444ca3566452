"""There is always an admin who can log in, no matter who leaves or loses the role, also at the same moment."""

from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import account_deletion
from market.audit import Actor
from market.errors import Refusal
from market.moderation import sanctions
from store.database import SyncDatabase
from store.migrations.run import upgrade
from store.models import Role, User
from tests.support.database import fresh_database
from tests.support.factories import NO_PASSWORD, make_user
from tests.support.races import at_once

WHY = "A reason"
OPERATOR = Actor(None, Role.ADMIN, "root")
Act = Callable[[Session, UUID, UUID], object]


@pytest.fixture(scope="module")
def own_database() -> Iterator[SyncDatabase]:
    """A database whose admins are those of these tests."""
    with fresh_database() as url:
        upgrade(url)
        database = SyncDatabase(url)
        yield database
        database.dispose()


def two_admins(session: Session) -> tuple[UUID, UUID]:
    """The only ones."""
    session.execute(update(User).where(User.role == Role.ADMIN).values(role=Role.USER))
    one, other = (make_user(session, role=Role.ADMIN) for _ in range(2))
    return one, other


def leave(session: Session, me: UUID, _other: UUID) -> None:
    account_deletion.delete(session, me, NO_PASSWORD)


def give_up(session: Session, me: UUID, _other: UUID) -> None:
    sanctions.set_role(session, Actor(me, Role.ADMIN), me, Role.MODERATOR, WHY)


def demote(session: Session, me: UUID, other: UUID) -> None:
    sanctions.set_role(session, Actor(me, Role.ADMIN), other, Role.USER, WHY)


def ban(session: Session, me: UUID, other: UUID) -> None:
    sanctions.ban(session, Actor(me, Role.ADMIN), other, WHY)


@pytest.mark.parametrize("first", [leave, give_up, demote, ban])
@pytest.mark.parametrize("second", [leave, give_up, demote, ban])
def test_of_two_admins_at_the_same_moment_one_is_left(
    own_database: SyncDatabase, first: Act, second: Act
) -> None:
    for _ in range(3):
        with own_database.transaction() as session:
            one, other = two_admins(session)

        def run(act: Act, me: UUID, them: UUID) -> str:
            with own_database.transaction() as session:
                act(session, me, them)
            return "done"

        results = at_once([partial(run, first, one, other), partial(run, second, other, one)])
        # Demoted, one may still leave; so may one who is banned at the same moment.
        assert results.count("done") >= 1
        assert set(results) <= {"done", "last_admin", "forbidden", "not_found"}
        with own_database.transaction() as session:
            able = select(func.count()).where(User.role == Role.ADMIN, User.banned_at.is_(None))
            assert session.scalars(able).one() == 1


@pytest.mark.parametrize("act", [leave, give_up])
def test_the_last_admin_stays_and_a_banned_one_does_not_count(db_session: Session, act: Act) -> None:
    # Rolled back: no other test may lose its admins.
    one, other = two_admins(db_session)
    sanctions.ban(db_session, OPERATOR, other, WHY)
    with pytest.raises(Refusal, match="last_admin"):
        act(db_session, one, other)
    sanctions.lift_ban(db_session, OPERATOR, other, WHY)
    act(db_session, one, other)


def test_a_user_who_is_no_admin_leaves_as_ever(db_session: Session) -> None:
    one, other = two_admins(db_session)
    leave(db_session, one, other)
    for role in (Role.USER, Role.MODERATOR):
        leave(db_session, make_user(db_session, role=role), other)
