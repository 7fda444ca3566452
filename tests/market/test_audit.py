"""Only who has the role at the moment of the deed does it: every action is noted in its transaction."""

import pytest
from sqlalchemy.orm import Session

from market import audit
from market.accounts import accounts, sessions
from market.audit import Actor
from market.errors import Refusal
from market.fees import SellerFee
from market.platform import settings
from store.models import Role
from tests.support.factories import make_user

WHY = "A reason"


def change_fee(session: Session, actor: Actor) -> None:
    version = settings.get(session, SellerFee).version
    settings.put(session, actor, SellerFee(basis_points=5_000), version, WHY)


def test_an_actor_who_has_lost_the_role_since_the_request_was_let_in_changes_nothing(
    db_session: Session,
) -> None:
    demoted, banned = (Actor(make_user(db_session, role=Role.ADMIN), Role.ADMIN) for _ in range(2))
    assert demoted.user_id is not None
    assert banned.user_id is not None
    for actor in (demoted, banned):
        change_fee(db_session, actor)
    accounts.set_role(db_session, demoted.user_id, Role.MODERATOR)
    sessions.ban(db_session, banned.user_id)
    for actor in (demoted, banned):
        with pytest.raises(Refusal, match="forbidden"):
            change_fee(db_session, actor)
        assert len(audit.page(db_session, actor.user_id, None, None, None, 10).items) == 1


def test_the_operator_needs_no_role(db_session: Session) -> None:
    change_fee(db_session, Actor(None, Role.ADMIN, "root"))
