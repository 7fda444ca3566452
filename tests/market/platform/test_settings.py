"""Settings: what holds, who changed it and which version, and what a switch stops."""

from typing import get_args

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.accounts import email_tokens
from market.accounts.accounts import NewUser
from market.audit import Actor
from market.bidding import neighbourhood, paddles
from market.errors import Refusal
from market.fees import SellerFee
from market.listings import listings
from market.money import wallet
from market.money.wallet import Wallet
from market.platform import settings
from market.platform.settings import IncrementTable, IncrementTables, Setting
from market.times import clock, to_ms
from store.ids import new_id
from store.models import AuditEntry, Role
from store.redis.switches import Switches
from tests.support.factories import (
    NO_PASSWORD,
    a_draft,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)


@pytest.fixture
def admin(db_session: Session) -> Actor:
    return Actor(make_user(db_session, role=Role.ADMIN), Role.ADMIN)


def test_without_a_setting_the_defaults_hold(db_session: Session) -> None:
    assert settings.get(db_session, SellerFee) == Setting(0, SellerFee(0, 0, None))
    assert settings.get(db_session, Switches).value == Switches(True, True, True, True)
    assert settings.view(db_session).increment_tables[0].name == "standard"


def test_a_setting_is_changed_by_version_and_the_change_is_noted(db_session: Session, admin: Actor) -> None:
    first, second = SellerFee(500, 100, 10_000), SellerFee(300, 0, None)
    assert settings.put(db_session, admin, first, 0, "To live on") == Setting(1, first)
    for stale in (0, 2):
        with pytest.raises(Refusal, match="precondition_failed"):
            settings.put(db_session, admin, second, stale, "Too late")
    assert settings.put(db_session, admin, second, 1, "Too much") == Setting(2, second)
    assert settings.get(db_session, SellerFee) == Setting(2, second)
    entries = db_session.scalars(
        select(AuditEntry).where(AuditEntry.actor_id == admin.user_id).order_by(AuditEntry.id)
    ).all()
    assert [(entry.subject_id, entry.reason, entry.before, entry.after) for entry in entries] == [
        (
            "seller_fee",
            "To live on",
            {"basis_points": 0, "floor": 0, "cap": None},
            {"basis_points": 500, "floor": 100, "cap": 10_000},
        ),
        (
            "seller_fee",
            "Too much",
            {"basis_points": 500, "floor": 100, "cap": 10_000},
            {"basis_points": 300, "floor": 0, "cap": None},
        ),
    ]


@pytest.mark.parametrize(
    "tables",
    [
        [IncrementTable("one", [(0, 1)]), IncrementTable("one", [(0, 2)])],
        [],
        [IncrementTable("one", [])],
        [IncrementTable("one", [(1, 1)])],
        [IncrementTable("one", [(0, 1), (0, 2)])],
        [IncrementTable("one", [(0, 0)])],
    ],
)
def test_an_impossible_table_of_increments_is_refused(
    db_session: Session, admin: Actor, tables: list[IncrementTable]
) -> None:
    with pytest.raises(Refusal, match="invalid_increments"):
        settings.put_increment_tables(db_session, admin, IncrementTables(tables), 0, "A test")


def test_the_standard_table_is_a_possible_one(db_session: Session, admin: Actor) -> None:
    settings.put_increment_tables(db_session, admin, IncrementTables(), 0, "A test")


def test_a_table_is_found_by_its_name(db_session: Session, admin: Actor) -> None:
    fine, coarse = IncrementTable("fine", [(0, 1)]), IncrementTable("coarse", [(0, 9)])
    settings.put_increment_tables(db_session, admin, IncrementTables([fine, coarse]), 0, "A test")
    for name, table in ((None, fine), ("fine", fine), ("coarse", coarse), ("Coarse", None)):
        assert settings.increment_table(db_session, name) == table


def switch_off(session: Session, actor: Actor, **off: bool) -> None:
    version = settings.get(session, Switches).version
    settings.put(session, actor, Switches(**off), version, "A test")


def test_every_switch_has_a_name(db_session: Session, admin: Actor) -> None:
    assert set(get_args(settings.Switch)) == set(Switches.__struct_fields__)
    for name in get_args(settings.Switch):
        settings.require(db_session, name)
        switch_off(db_session, admin, **{name: False})
        with pytest.raises(Refusal, match="switched_off"):
            settings.require(db_session, name)
        switch_off(db_session, admin)


def test_no_money_comes_in_while_that_is_off_and_what_was_there_is_used(
    db_session: Session, admin: Actor
) -> None:
    user, auction = make_funded_user(db_session, 5_000), make_published_auction(db_session).id
    switch_off(db_session, admin, payments=False)
    transfer = new_id()
    with pytest.raises(Refusal, match="switched_off"):
        wallet.top_up(db_session, user, 500, transfer)
    paddles.take(db_session, user, auction, 2_000)
    switch_off(db_session, admin)
    assert wallet.top_up(db_session, user, 500, transfer) == Wallet(3_500, 2_000)


@pytest.mark.usefixtures("some_regions")
def test_what_is_switched_off_is_refused(db_session: Session, admin: Actor) -> None:
    auction = make_neighbourhood_auction(db_session)
    draft = listings.create(db_session, auction.seller_id, a_draft())
    bidder, _ = make_neighbour(db_session, 10_000)
    switch_off(db_session, admin, neighbourhood_bidding=False, publishing=False, registrations=False)
    new = NewUser(email="new@example.org", password_hash=NO_PASSWORD, display_name="New")
    with pytest.raises(Refusal, match="switched_off"):
        neighbourhood.place(db_session, bidder, auction.id, "r1", 5_000)
    with pytest.raises(Refusal, match="switched_off"):
        listings.publish(db_session, auction.seller_id, draft.id)
    with pytest.raises(Refusal, match="switched_off"):
        email_tokens.sign_up(db_session, new, verify=True)
    switch_off(db_session, admin)
    neighbourhood.place(db_session, bidder, auction.id, "r1", 5_000)
    listings.publish(db_session, auction.seller_id, draft.id)
    email_tokens.sign_up(db_session, new, verify=True)


def test_an_announcement_is_told_in_its_time(db_session: Session, admin: Actor) -> None:
    now = to_ms(clock(db_session))

    def announced() -> set[str]:
        return {one.text_en for one in settings.view(db_session).announcements}

    def announce(text: str, starts_at: int, ends_at: int) -> settings.AnnouncementView:
        return settings.create_announcement(db_session, admin, "한국어", text, starts_at, ends_at, "A test")

    current = announce("now", now - 10_000, now + 3_600_000)
    later = announce("later", now + 3_600_000, now + 7_200_000)
    assert announced() == {"now"}
    ended = settings.end_announcement(db_session, admin, current.id, "Enough")
    assert announced() == set()
    never = settings.end_announcement(db_session, admin, later.id, "Not needed")
    assert never.starts_at == never.ends_at <= ended.ends_at
    with pytest.raises(Refusal, match="wrong_state"):
        settings.end_announcement(db_session, admin, current.id, "Too late")
    with pytest.raises(Refusal, match="not_found"):
        settings.end_announcement(db_session, admin, new_id(), "No such thing")
    for starts_at, ends_at in ((now + 2, now + 1), (now - 7_200_000, now - 3_600_000)):
        with pytest.raises(Refusal, match="invalid_time"):
            announce("never", starts_at, ends_at)
    page = settings.announcements(db_session, None, 1)
    assert [one.text_en for one in page.items] == ["later"]
    assert [one.id for one in settings.announcements(db_session, page.next_cursor, 1).items] == [current.id]
