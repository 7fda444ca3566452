"""The tree of categories."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from market import categories
from tests.database import CATEGORIES


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


def test_loading_again_changes_names_and_removes_nothing(db_session: Session, tmp_path: Path) -> None:
    categories.load(db_session, CATEGORIES)
    before = categories.tree(db_session).items
    file = tmp_path / "categories.csv"
    file.write_text("code,parent_code,name,name_en\ndigital,,디지털,Digital\n", encoding="utf-8")
    assert categories.load(db_session, file) == 1
    db_session.expire_all()
    after = categories.tree(db_session).items
    assert [branch.code for branch in after] == [branch.code for branch in before]
    assert after[0].name_en == "Digital"
    assert after[0].children == before[0].children


def test_every_database_has_the_category_of_the_rest(db_session: Session) -> None:
    assert categories.is_leaf(db_session, categories.OTHER)
