"""What auctions are about: a tree of two levels, with names in Korean and English. store/data has it.

Auctions are in the leaves; a branch shows those of all its leaves. A retired category is offered to
nobody any more, nor are those in it; what stands there already stays and is found.
"""

import csv
import re
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Select, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from market import audit
from market.audit import Actor, Subject
from market.errors import Refusal
from market.listings.refusals import ListingRefusal
from market.times import clock
from store.models import Auction, Category

CODE = r"\A[a-z]+(-[a-z]+)*\Z"
"""Pattern of a code."""
MAX_CODE = 40
LOCK = 7_210_555
"""Advisory lock of the one transaction that changes the tree: two may be right alone and wrong together."""
OTHER = "other"
"""The category of what has none. Every database has it."""


class CategoryView(msgspec.Struct, frozen=True):
    """A category and those in it, in their order."""

    code: str
    name: str
    name_en: str
    children: list["CategoryView"]


class Categories(msgspec.Struct, frozen=True):
    """The whole tree of categories: its branches, in their order."""

    items: list[CategoryView]


class CategoryRow(msgspec.Struct, frozen=True):
    """A category as admins see it. Those with the same parent are shown by `position`."""

    code: str
    parent_code: str | None
    name: str
    name_en: str
    position: int
    retired: bool


class CategoryRows(msgspec.Struct, frozen=True):
    """Every category, including retired ones, the branches first."""

    items: list[CategoryRow]


def tree(session: Session) -> Categories:
    """All categories that are not retired."""
    items: list[CategoryView] = []
    of: dict[str | None, list[CategoryView]] = {None: items}
    for category in session.scalars(_ordered().where(Category.retired_at.is_(None))):
        children = of.setdefault(category.code, [])
        # Those in a retired one have nowhere to go.
        of.get(category.parent_code, []).append(
            CategoryView(category.code, category.name, category.name_en, children)
        )
    return Categories(items)


def rows(session: Session) -> CategoryRows:
    """All categories, for admins."""
    return CategoryRows([_row(category) for category in session.scalars(_ordered())])


def put(session: Session, actor: Actor, row: CategoryRow, reason: str) -> CategoryRow:
    """Make a category, or replace what is known of one.

    Refuses with `invalid_category`, naming the `field`: the code is no code; the parent does not exist, lies in another
    one or has auctions of its own, or the category has children; `other` must stay as it stands.
    """
    session.execute(select(func.pg_advisory_xact_lock(LOCK)))
    category = session.get(Category, row.code)
    before = None if category is None else msgspec.to_builtins(_row(category))
    if category is None and re.fullmatch(CODE, row.code) is None:
        raise _impossible("code")
    if row.code == OTHER and row.retired:
        raise _impossible("retired")
    if row.parent_code is not None:
        _check_parent(session, row.code, row.parent_code)
    if category is None:
        category = Category(code=row.code)
        session.add(category)
    category.parent_code, category.position = row.parent_code, row.position
    category.name, category.name_en = row.name, row.name_en
    if row.retired != (category.retired_at is not None):
        category.retired_at = clock(session) if row.retired else None
    session.flush()
    after = _row(category)
    audit.record(
        session, actor, "put", Subject("category", row.code), reason, before, msgspec.to_builtins(after)
    )
    return after


def _check_parent(session: Session, code: str, parent_code: str) -> None:
    parent = session.get(Category, parent_code)
    has_children = exists().where(Category.parent_code == code)
    has_auctions = exists().where(Auction.category_code == parent_code)
    if (
        parent is None
        or parent.parent_code is not None
        or parent_code in (code, OTHER)
        or code == OTHER
        or session.scalar(select(has_children | has_auctions))
    ):
        raise _impossible("parent_code")


def _impossible(field: str) -> Refusal:
    return Refusal(ListingRefusal.INVALID_CATEGORY, field=field)


def _ordered() -> Select[Category]:
    """Every category after the one that it lies in."""
    return select(Category).order_by(Category.parent_code.is_not(None), Category.position, Category.code)


def _row(category: Category) -> CategoryRow:
    return CategoryRow(
        category.code,
        category.parent_code,
        category.name,
        category.name_en,
        category.position,
        category.retired_at is not None,
    )


def is_leaf(session: Session, code: str) -> bool:
    """Whether a new auction may stand there."""
    parent = aliased(Category)
    child = exists().where(Category.parent_code == code)
    retired = Category.retired_at.is_not(None) | parent.retired_at.is_not(None)
    found = (
        select(Category.code)
        .outerjoin(parent, parent.code == Category.parent_code)
        .where(Category.code == code, ~retired, ~child)
    )
    return session.scalar(found) is not None


def load(session: Session, file: Path) -> int:
    """Bring the categories of a CSV file (code, parent_code or nothing, name, name_en) into the table, in their order,
    and say how many it has. A branch stands before its leaves. Known ones stay as admins have made them."""
    with file.open(encoding="utf-8", newline="") as lines:
        shipped: list[dict[str, Any]] = [
            {**fields, "parent_code": fields["parent_code"] or None, "position": position}
            for position, fields in enumerate(csv.DictReader(lines, strict=True))
        ]
    session.execute(insert(Category).on_conflict_do_nothing(), shipped)
    return len(shipped)
