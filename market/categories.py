"""What auctions are about: a tree of two levels, with names in Korean and English. store/data has it.

Auctions stand in the leaves; whoever looks into a branch sees all of its leaves.
"""

import csv
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Category

CODE = r"\A[a-z]+(-[a-z]+)*\Z"
"""Pattern of a code."""
MAX_CODE = 40
OTHER = "other"
"""The category of what has none. Every database has it."""


class CategoryView(msgspec.Struct, frozen=True):
    """A category and those in it, in their order."""

    code: str
    name: str
    name_en: str
    children: list["CategoryView"]


class Categories(msgspec.Struct, frozen=True):
    """The whole tree: its branches, in their order."""

    items: list[CategoryView]


def tree(session: Session) -> Categories:
    """All categories."""
    items: list[CategoryView] = []
    of: dict[str | None, list[CategoryView]] = {None: items}
    first = Category.parent_code.is_not(None)
    for category in session.scalars(select(Category).order_by(first, Category.position, Category.code)):
        children = of.setdefault(category.code, [])
        of[category.parent_code].append(
            CategoryView(category.code, category.name, category.name_en, children)
        )
    return Categories(items)


def is_leaf(session: Session, code: str) -> bool:
    """Whether an auction may stand there."""
    child = select(Category.code).where(Category.parent_code == code).exists()
    return session.scalar(select(Category.code).where(Category.code == code, ~child)) is not None


def load(session: Session, file: Path) -> int:
    """Bring the categories of a CSV file (code, parent_code or nothing, name, name_en) into the table, in their order,
    and say how many it has. A branch stands before its leaves. Known ones are changed, none is removed."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows: list[dict[str, Any]] = [
            {**fields, "parent_code": fields["parent_code"] or None, "position": position}
            for position, fields in enumerate(csv.DictReader(lines, strict=True))
        ]
    statement = insert(Category)
    changed = {column.name: column for column in statement.excluded if not column.primary_key}
    session.execute(statement.on_conflict_do_update(index_elements=[Category.code], set_=changed), rows)
    return len(rows)
