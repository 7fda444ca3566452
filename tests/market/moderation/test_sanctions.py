"""What those with a role do to users, who may do it to whom, and that it stands in the audit log."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import audit
from market.accounts import accounts, sessions
from market.accounts.sessions import Lifetime, RefreshToken
from market.audit import Actor, AuditView
from market.bidding import neighbourhood, paddles
from market.errors import Refusal
from market.listings import listings
from market.moderation import sanctions
from market.times import clock, to_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Event, Notification, Role, User
from store.vault import Vault
from tests.support.factories import (
    NO_PASSWORD,
    a_draft,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once
from tests.support.use_cases import UseCases

WHY = "A reason"
HOUR_MS = 3_600_000
OPERATOR = Actor(None, Role.ADMIN, "root")
LIFETIME = Lifetime(3600, 3600)


@dataclass
class Staff(UseCases):
    """A database with a moderator, an admin and a user."""

    moderator: Actor
    admin: Actor
    user: UUID

    def open_session(self) -> UUID:
        return self.do(sessions.open_session, self.user, RefreshToken.new(), LIFETIME)

    def log_in(self) -> object:
        vault = Vault({"test": bytes(32)})
        return self.do(sessions.log_in, vault, self.user, NO_PASSWORD, None, RefreshToken.new(), LIFETIME)

    def now(self) -> int:
        return to_ms(self.do(clock))

    def row(self, user_id: UUID | None = None) -> User:
        return self.do(Session.get_one, User, user_id or self.user)

    def noted(self, user_id: UUID | None = None) -> list[AuditView]:
        """What the log says of the user, the newest first."""
        return self.do(audit.page, None, str(user_id or self.user), None, None, 100).items

    def suspend(self, hours: int = 1) -> None:
        self.do(sanctions.suspend, self.moderator, self.user, self.now() + hours * HOUR_MS, WHY)


def staff_of(database: SyncDatabase, role: Role) -> Actor:
    with database.transaction() as session:
        return Actor(make_user(session, role=role), role)


@pytest.fixture
def staff(sync_database: SyncDatabase) -> Staff:
    moderator, admin = (staff_of(sync_database, role) for role in (Role.MODERATOR, Role.ADMIN))
    with sync_database.transaction() as session:
        return Staff(sync_database, moderator, admin, make_funded_user(session))


ACTIONS: list[tuple[str, Callable[[Session, Actor, UUID, str], Any]]] = [
    ("warn", sanctions.warn),
    (
        "suspend",
        lambda session, actor, user_id, why: sanctions.suspend(
            session, actor, user_id, to_ms(clock(session)) + HOUR_MS, why
        ),
    ),
    ("ban", sanctions.ban),
    ("unban", sanctions.lift_ban),
    ("revoke_sessions", sanctions.revoke_sessions),
    (
        "set_role",
        lambda session, actor, user_id, why: sanctions.set_role(session, actor, user_id, Role.MODERATOR, why),
    ),
]
every_action = pytest.mark.parametrize(("name", "action"), ACTIONS)


@every_action
def test_an_action_is_noted_with_its_actor_and_reason(staff: Staff, name: str, action: Any) -> None:
    staff.do(action, staff.admin, staff.user, WHY)
    staff.do(action, OPERATOR, staff.user, "At night")
    night, day = staff.noted()
    assert (day.action, day.actor_id, day.operator, day.reason) == (name, staff.admin.user_id, None, WHY)
    assert (night.action, night.actor_id, night.operator) == (name, None, "root")
    assert (day.subject_kind, day.subject_id) == ("user", str(staff.user))
    assert (day.before is None) == (day.after is None) == (name == "warn")
    assert day.before is None or day.after is None or day.before.keys() == day.after.keys()


@every_action
def test_a_moderator_acts_on_users_only(staff: Staff, name: str, action: Any) -> None:
    for role in (Role.MODERATOR, Role.ADMIN):
        other = staff_of(staff.database, role).user_id
        assert other is not None
        assert staff.refused(action, staff.moderator, other, WHY) == "forbidden"
        assert staff.noted(other) == []
        staff.do(action, staff.admin, other, WHY)


@every_action
def test_nobody_acts_on_their_own_account_or_on_one_that_is_gone(
    staff: Staff, name: str, action: Any
) -> None:
    assert staff.moderator.user_id is not None
    assert staff.refused(action, staff.moderator, staff.moderator.user_id, WHY) == "forbidden"
    assert staff.refused(action, staff.admin, new_id(), WHY) == "not_found"
    with staff.database.transaction() as session:
        session.execute(update(User).where(User.id == staff.user).values(deleted_at=func.now()))
    assert staff.refused(action, staff.admin, staff.user, WHY) == "not_found"


@every_action
def test_an_actor_who_has_lost_the_role_since_the_request_came_cannot_act(
    staff: Staff, name: str, action: Any
) -> None:
    assert staff.admin.user_id is not None
    staff.do(accounts.set_role, staff.admin.user_id, Role.USER)
    assert staff.refused(action, staff.admin, staff.user, WHY) == "forbidden"
    staff.do(accounts.set_role, staff.admin.user_id, Role.ADMIN)
    staff.do(sanctions.ban, OPERATOR, staff.admin.user_id, WHY)
    assert staff.refused(action, staff.admin, staff.user, WHY) == "forbidden"


def test_a_ban_ends_all_sessions_and_refuses_log_ins_until_it_is_lifted(staff: Staff) -> None:
    opened = [staff.open_session() for _ in range(2)]
    staff.do(sanctions.ban, staff.moderator, staff.user, WHY)
    assert [staff.do(sessions.authenticate, each, staff.user) for each in opened] == [None, None]
    assert staff.refused(lambda _: staff.log_in()) == "banned"
    staff.do(sanctions.lift_ban, staff.moderator, staff.user, WHY)
    staff.log_in()
    lifted, banned = staff.noted()
    assert (banned.before, banned.after) == ({"banned": False}, {"banned": True})
    assert (lifted.before, lifted.after) == ({"banned": True}, {"banned": False})


def test_a_suspended_user_neither_publishes_nor_takes_a_paddle_until_it_is_over(staff: Staff) -> None:
    draft = staff.do(listings.create, staff.user, a_draft()).id
    with staff.database.transaction() as session:
        auction, other = make_published_auction(session).id, make_published_auction(session).id
    paddle = staff.do(paddles.take, staff.user, auction, 2_000)
    opened = staff.open_session()

    staff.suspend()
    assert staff.do(sessions.authenticate, opened, staff.user) is None

    assert staff.refused(listings.publish, staff.user, draft) == "suspended"
    assert staff.refused(paddles.take, staff.user, other, 2_000) == "suspended"
    assert staff.refused(paddles.raise_limit, staff.user, auction, 3_000, paddle.version) == "suspended"
    # Looking, and giving the paddle back.
    staff.log_in()
    staff.do(paddles.begin_return, staff.user, auction)
    with staff.database.transaction() as session:
        past = User.suspended_until - timedelta(hours=1)
        session.execute(update(User).where(User.id == staff.user).values(suspended_until=past))
    staff.do(listings.publish, staff.user, draft)
    staff.do(paddles.take, staff.user, other, 2_000)


def test_a_suspended_user_reads_until_when_and_why(staff: Staff) -> None:
    staff.suspend()
    staff.do(sanctions.suspend, staff.moderator, staff.user, None, WHY)
    until = staff.noted()[1].after
    assert until is not None
    with staff.database.transaction() as session:
        told = session.scalars(select(Notification).where(Notification.user_id == staff.user)).all()
    assert [(item.event, item.data) for item in told] == [
        (Event.SUSPENDED, {"until": until["suspended_until"], "reason": WHY})
    ]


@pytest.mark.usefixtures("some_regions")
def test_a_suspended_user_does_not_bid_among_neighbours_but_leads_on(staff: Staff) -> None:
    with staff.database.transaction() as session:
        staff.user, _ = make_neighbour(session, 10_000)
        auction = make_neighbourhood_auction(session).id
    staff.do(neighbourhood.place, staff.user, auction, "one", 2_000)
    staff.suspend()
    assert staff.refused(neighbourhood.place, staff.user, auction, "two", 3_000) == "suspended"
    staff.do(sanctions.suspend, staff.moderator, staff.user, None, WHY)
    record = staff.do(neighbourhood.place, staff.user, auction, "three", 3_000)
    assert (str(record.leader), record.bids) == (str(staff.user), 2)


def test_a_suspension_ends_within_a_year_and_can_be_changed_and_lifted(staff: Staff) -> None:
    for until in (staff.now() - 1, staff.now() + 366 * 24 * HOUR_MS, 2**53 - 1):
        code = staff.refused(sanctions.suspend, staff.moderator, staff.user, until, WHY)
        assert code == "invalid_time"
    staff.suspend(1)
    staff.suspend(2)
    opened = staff.open_session()
    staff.do(sanctions.suspend, staff.moderator, staff.user, None, WHY)
    assert staff.do(sessions.authenticate, opened, staff.user) is not None
    lifted, longer, first = staff.noted()
    assert first.before == {"suspended_until": None}
    assert first.after == longer.before
    assert longer.after == lifted.before
    assert lifted.after == {"suspended_until": None}
    assert staff.row().suspended_until is None


def test_a_role_counts_in_every_session_at_once(staff: Staff) -> None:
    opened = staff.open_session()
    staff.do(sanctions.set_role, staff.admin, staff.user, Role.MODERATOR, WHY)
    principal = staff.do(sessions.authenticate, opened, staff.user)
    assert principal is not None
    assert principal.role is Role.MODERATOR
    [noted] = staff.noted()
    assert (noted.before, noted.after) == ({"role": "user"}, {"role": "moderator"})


def test_the_last_admin_who_can_log_in_keeps_the_role(db_session: Session) -> None:
    # Rolled back: no other test may lose its admins.
    db_session.execute(update(User).where(User.role == Role.ADMIN).values(role=Role.USER))
    one, other = (make_user(db_session, role=Role.ADMIN) for _ in range(2))
    me = Actor(one, Role.ADMIN)
    sanctions.ban(db_session, me, other, WHY)
    for actor in (me, OPERATOR):
        with pytest.raises(Refusal, match="last_admin"):
            sanctions.set_role(db_session, actor, one, Role.USER, WHY)
    sanctions.set_role(db_session, me, one, Role.ADMIN, WHY)
    sanctions.lift_ban(db_session, me, other, WHY)
    sanctions.set_role(db_session, me, one, Role.USER, WHY)
    assert db_session.scalars(select(User.id).where(User.role == Role.ADMIN)).all() == [other]


def test_of_two_admins_who_ban_each_other_one_succeeds(staff: Staff) -> None:
    one, other = staff.admin, staff_of(staff.database, Role.ADMIN)
    assert one.user_id is not None
    assert other.user_id is not None
    for ban in (sanctions.ban, partial(sanctions.set_role, role=Role.USER)):
        results = at_once(
            [
                partial(staff.do, ban, one, other.user_id, reason=WHY),
                partial(staff.do, ban, other, one.user_id, reason=WHY),
            ]
        )
        assert results.count("forbidden") == 1
        for actor in (one, other):
            assert actor.user_id is not None
            staff.do(sanctions.lift_ban, OPERATOR, actor.user_id, WHY)


def test_nothing_is_noted_of_what_was_not_done(staff: Staff) -> None:
    with staff.database.transaction() as session:
        sanctions.ban(session, staff.moderator, staff.user, WHY)
        session.rollback()
    assert staff.noted() == []
    assert staff.row().banned_at is None
