"""The tree of categories."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.audit import Actor
from market.errors import Refusal
from market.listings import categories, listings, search
from market.listings.categories import CategoryRow
from market.listings.search import Sort, Wanted
from store.models import AuditEntry, Role
from tests.support.database import CATEGORIES
from tests.support.factories import a_draft, make_published_auction, make_user


def test_the_shipped_tree_has_two_levels_in_both_languages(db_session: Session) -> None:
    count = categories.load(db_session, CATEGORIES)
    branches = categories.tree(db_session).items
    leaves = [leaf for branch in branches for leaf in branch.children]
    assert len(branches) + len(leaves) == count
    assert len(branches) == 13
    assert len(leaves) >= 55
    assert not any(leaf.children for leaf in leaves)
    assert (branches[0].code, branches[-1].code) == ("digital", "other")
    assert (leaves[0].name, leaves[0].name_en) == ("휴대폰", "Phones")


@pytest.mark.parametrize(
    ("code", "leaf"), [("phones", True), ("other", True), ("digital", False), ("no", False)]
)
def test_auctions_stand_in_leaves(db_session: Session, code: str, leaf: bool) -> None:
    categories.load(db_session, CATEGORIES)
    assert categories.is_leaf(db_session, code) is leaf


def test_loading_again_changes_nothing_that_is_there(db_session: Session, tmp_path: Path) -> None:
    categories.load(db_session, CATEGORIES)
    before = categories.rows(db_session)
    file = tmp_path / "categories.csv"
    file.write_text(
        "code,parent_code,name,name_en\ndigital,,디지털,Changed\nrobots,digital,로봇,Robots\n",
        encoding="utf-8",
    )
    assert categories.load(db_session, file) == 2
    db_session.expire_all()
    after = categories.rows(db_session)
    assert [row for row in after.items if row.code != "robots"] == before.items


def test_every_database_has_the_category_of_the_rest(db_session: Session) -> None:
    assert categories.is_leaf(db_session, categories.OTHER)


@pytest.fixture
def admin(db_session: Session) -> Actor:
    categories.load(db_session, CATEGORIES)
    return Actor(make_user(db_session, role=Role.ADMIN), Role.ADMIN)


def a_row(code: str, parent_code: str | None = None, **changes: Any) -> CategoryRow:
    fields: dict[str, Any] = {"name": "이름", "name_en": "A name", "position": 3, "retired": False} | changes
    return CategoryRow(code=code, parent_code=parent_code, **fields)


def branches(session: Session) -> dict[str, set[str]]:
    return {branch.code: {leaf.code for leaf in branch.children} for branch in categories.tree(session).items}


def test_a_category_is_made_renamed_retired_and_brought_back(db_session: Session, admin: Actor) -> None:
    made = categories.put(db_session, admin, a_row("drones", "digital"), "New")
    assert made in categories.rows(db_session).items
    assert "drones" in branches(db_session)["digital"]
    assert categories.is_leaf(db_session, "drones")
    listed = make_published_auction(db_session, category="drones")

    retired = a_row("drones", "digital", name_en="Drones", retired=True)
    assert categories.put(db_session, admin, retired, "Nobody sells them") == retired
    assert "drones" not in branches(db_session)["digital"]
    with pytest.raises(Refusal, match="invalid_auction"):
        listings.create(db_session, listed.seller_id, a_draft(category="drones"))
    found = search.find(db_session, Wanted(category="drones"), Sort.NEWEST, None, 10, False, None)
    assert [hit.auction.id for hit in found.hits] == [listed.id]

    categories.put(db_session, admin, a_row("drones", "digital"), "They do")
    listings.create(db_session, listed.seller_id, a_draft(category="drones"))
    entries = db_session.scalars(
        select(AuditEntry).where(AuditEntry.subject_id == "drones").order_by(AuditEntry.id)
    ).all()
    assert [entry.reason for entry in entries] == ["New", "Nobody sells them", "They do"]
    assert (entries[0].before, entries[1].after) == (None, entries[2].before)


def test_what_lies_in_a_retired_category_is_not_offered(db_session: Session, admin: Actor) -> None:
    categories.put(db_session, admin, a_row("digital", retired=True), "Gone")
    assert "digital" not in branches(db_session)
    assert not categories.is_leaf(db_session, "phones")


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (a_row("Robots"), "code"),
        (a_row("r2"), "code"),
        (a_row("robots", "nowhere"), "parent_code"),
        (a_row("robots", "phones"), "parent_code"),
        (a_row("robots", "other"), "parent_code"),
        (a_row("sports", "digital"), "parent_code"),
        (a_row("digital", "digital"), "parent_code"),
        (a_row("other", "digital"), "parent_code"),
        (a_row("other", retired=True), "retired"),
    ],
)
def test_an_impossible_category_is_refused(
    db_session: Session, admin: Actor, row: CategoryRow, field: str
) -> None:
    with pytest.raises(Refusal, match="invalid_category") as refused:
        categories.put(db_session, admin, row, "A test")
    assert refused.value.fields == {"field": field}


def test_what_has_auctions_gets_no_children(db_session: Session, admin: Actor) -> None:
    categories.put(db_session, admin, a_row("robots"), "New")
    make_published_auction(db_session, category="robots")
    with pytest.raises(Refusal, match="invalid_category"):
        categories.put(db_session, admin, a_row("arms", "robots"), "More")
