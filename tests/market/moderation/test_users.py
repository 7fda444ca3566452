"""Users as those with a role find and see them."""

from uuid import UUID

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from market.accounts import accounts, blocks, sessions
from market.accounts.accounts import NewUser
from market.accounts.sessions import Lifetime, RefreshToken
from market.audit import Actor
from market.bidding import paddles
from market.errors import Refusal
from market.listings import listings
from market.moderation import reports, sanctions, users
from market.money import wallet
from market.times import clock, to_ms
from store.ids import new_id
from store.models import ReportKind, ReportReason, Role, User
from tests.support.factories import (
    NO_PASSWORD,
    a_draft,
    make_funded_user,
    make_order,
    make_published_auction,
    make_user,
)
from tests.support.plans import Plans, nodes


def register(session: Session, email: str, name: str) -> UUID:
    made = accounts.register(
        session, NewUser(email=email, password_hash=NO_PASSWORD, display_name=name), verified=True
    )
    assert made is not None
    return made


def found(session: Session, query: str) -> list[UUID]:
    return [card.id for card in users.page(session, query, None, 100).items]


def test_users_are_found_by_id_and_by_how_address_or_name_begin(db_session: Session) -> None:
    tag = new_id().hex
    ann = register(db_session, f"{tag}.Ann@Example.org", f"Änne {tag}")
    ben = register(db_session, f"{tag}.ben@example.org", f"김철수_{tag}%")
    assert found(db_session, str(ann)) == [ann]
    assert found(db_session, f"{tag}.") == [ben, ann]
    assert found(db_session, f"{tag}.ANN@example.ORG") == [ann]
    assert found(db_session, f"änne {tag}") == [ann]
    assert found(db_session, f"김철수_{tag}") == [ben]
    # What PostgreSQL reads as patterns is text here, and nothing is found in the middle.
    assert found(db_session, f"김철수%{tag}") == []
    assert found(db_session, f"_{tag}") == []
    assert found(db_session, str(new_id())) == []


def test_the_list_goes_page_by_page_the_last_registered_first(db_session: Session) -> None:
    tag = new_id().hex
    made = [register(db_session, f"{tag}.{number}@example.org", "Kim") for number in range(3)]
    first = users.page(db_session, f"{tag}.", None, 2)
    rest = users.page(db_session, f"{tag}.", first.next_cursor, 2)
    assert [card.id for card in first.items + rest.items] == made[::-1]
    assert rest.next_cursor is None
    assert users.page(db_session, None, None, 1).items[0].id == made[-1]
    with pytest.raises(Refusal, match="invalid_cursor"):
        users.page(db_session, None, "x", 1)


def test_the_search_uses_indexes(db_session: Session) -> None:
    db_session.execute(text("SET LOCAL enable_seqscan = off"))
    db_session.execute(text("SET LOCAL enable_indexscan = off"))
    plan = "\n".join(
        db_session.scalars(
            text(
                "EXPLAIN SELECT * FROM users WHERE email LIKE 'kim%' ESCAPE '/'"
                " OR lower(display_name) LIKE 'kim%' ESCAPE '/'"
            )
        )
    )
    assert "ix_users_email_prefix" in plan
    assert "ix_users_name_prefix" in plan


def test_a_user_is_shown_by_indexes(db_session: Session) -> None:
    user = make_user(db_session)
    db_session.execute(text("SET LOCAL enable_seqscan = off"))
    with Plans(db_session) as explained:
        users.get(db_session, user)
    used = {node.get("Index Name") for plan in explained.plans for node in nodes(plan)}
    assert {"ix_chat_messages_sender_id", "ix_reports_kind_subject_id_id"} <= used


def test_a_user_is_shown_with_standing_money_sessions_and_what_happened(db_session: Session) -> None:
    moderator = Actor(make_user(db_session, "Mo", Role.MODERATOR), Role.MODERATOR)
    user, buyer = make_funded_user(db_session, 9_000), make_user(db_session)
    listings.create(db_session, user, a_draft())
    auction = make_published_auction(db_session, user).id
    make_order(db_session, user, buyer)
    paddles.take(db_session, user, make_published_auction(db_session).id, 2_000)
    opened = sessions.open_session(db_session, user, RefreshToken.new(), Lifetime(60, 60))
    for kind, subject in ((ReportKind.USER, user), (ReportKind.AUCTION, auction)):
        reports.make(db_session, buyer, kind, subject, ReportReason.FRAUD, "He is no good.")
    reports.make(db_session, user, ReportKind.USER, buyer, ReportReason.SPAM, "Of another.")
    blocks.put(db_session, buyer, user)
    sanctions.warn(db_session, moderator, user, "Be honest.")

    seen = users.get(db_session, user)

    assert (seen.standing, seen.role, seen.email_verified, seen.second_factor) == (
        "active",
        "user",
        True,
        False,
    )
    # The order's auction runs in this test, too.
    assert (seen.auctions, seen.running, seen.bid_in) == (2, 2, 1)
    assert (seen.bought, seen.sold, seen.open_orders) == (0, 1, 1)
    # What is held alone would reveal the leader's maximum.
    assert seen.money == 9_000
    assert wallet.view(db_session, user).held == 2_000
    assert [session.id for session in seen.sessions] == [opened]
    assert (seen.reported, [report.kind for report in seen.reports]) == (2, ["auction", "user"])
    assert [(entry.action, entry.reason, entry.actor_name) for entry in seen.actions] == [
        ("warn", "Be honest.", "Mo")
    ]
    with pytest.raises(Refusal, match="not_found"):
        users.get(db_session, new_id())


def test_the_standing_says_what_holds_at_this_moment(db_session: Session) -> None:
    moderator = Actor(make_user(db_session, role=Role.MODERATOR), Role.MODERATOR)
    user = make_user(db_session)

    def standing() -> str:
        [card] = users.page(db_session, str(user), None, 1).items
        assert card.standing == users.get(db_session, user).standing
        return card.standing

    assert standing() == "active"
    sanctions.suspend(db_session, moderator, user, to_ms(clock(db_session)) + 60_000, "A reason")
    assert standing() == "suspended"
    sanctions.ban(db_session, moderator, user, "A reason")
    assert standing() == "banned"
    sanctions.lift_ban(db_session, moderator, user, "A reason")
    db_session.execute(update(User).where(User.id == user).values(suspended_until=clock(db_session)))
    assert standing() == "active"
