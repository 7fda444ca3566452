"""What time makes due, in the order of its time, each for one worker."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session


class Due(NamedTuple):
    """Something that is due `at` a time; with its id, where it stands among the rest."""

    at: datetime
    id: UUID


def claim(
    session: Session,
    at: ColumnElement[Any] | InstrumentedAttribute[Any],
    id_: InstrumentedAttribute[UUID],
    after: Due | None,
    *where: ColumnElement[bool],
) -> Due | None:
    """Lock the first row of those `where` all holds: by the column `at`, behind `after`, and locked by nobody else.

    None if there is none. So workers share what is due, and what one of them cannot do keeps nothing else waiting.
    """
    query = select(at, id_).where(*where)
    if after is not None:
        query = query.where(behind(at, id_, after))
    row = session.execute(
        query.order_by(at, id_).limit(1).with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    return None if row is None else Due(*row)


def behind(
    at: ColumnElement[Any] | InstrumentedAttribute[Any],
    id_: InstrumentedAttribute[UUID],
    after: Due,
) -> ColumnElement[bool]:
    """Whether a row comes after another one."""
    return tuple_(at, id_) > tuple_(*after)
