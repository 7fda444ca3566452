"""Rows that wait to be sent by a task: claimed for a while, tried again later and later, and given up at last.

A claim moves `due_at` behind its lease, so that no other task claims the row while it is being sent. After a crash it
is claimed, and sent, again.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, update
from sqlalchemy.orm import Session

from store.database import any_id
from store.models.base import Outgoing

LEASE = timedelta(minutes=3)
"""Longer than a task may run."""

MAX_ATTEMPTS = 30
FIRST_DELAY = timedelta(seconds=15)
LONGEST_DELAY = timedelta(hours=1)
"""The delay doubles with each failure; after 22 hours of them a row is given up."""

_UNSYNCHRONIZED = {"synchronize_session": False}


def waiting(table: type[Outgoing]) -> ColumnElement[bool]:
    """What is neither sent nor given up."""
    return and_(table.sent_at.is_(None), table.dead_at.is_(None))


def take(row: Outgoing, now: datetime) -> bool:
    """Claim a locked row for one attempt. False if processes died of it too often: then it is given up."""
    if row.attempts >= MAX_ATTEMPTS:
        row.dead_at, row.last_error = now, "interrupted"
        return False
    row.attempts += 1
    row.due_at = now + LEASE
    return True


def note_sent(session: Session, table: type[Outgoing], ids: Collection[UUID], now: datetime) -> None:
    """Note that these rows were sent."""
    session.execute(
        update(table).where(table.id == any_id(ids), waiting(table)).values(sent_at=now),
        execution_options=_UNSYNCHRONIZED,
    )


def note_failed(
    session: Session,
    table: type[Outgoing],
    ids: Collection[UUID],
    attempt: int,
    error: str,
    now: datetime,
    wait: timedelta = timedelta(0),
    final: bool = False,
) -> int:
    """Note that these rows could not be sent at their `attempt` (1 is the first), and have them tried again later,
    after `wait` at least; or give them up, when that was `final` or their last attempt. How many were given up."""
    mine = and_(table.id == any_id(ids), waiting(table))
    dead = session.scalars(
        update(table)
        .where(mine, table.attempts >= (0 if final else MAX_ATTEMPTS))
        .values(dead_at=now, last_error=error)
        .returning(table.id),
        execution_options=_UNSYNCHRONIZED,
    ).all()
    delay = min(FIRST_DELAY * 2 ** (attempt - 1), LONGEST_DELAY)
    session.execute(
        update(table).where(mine).values(due_at=now + max(delay, wait), last_error=error),
        execution_options=_UNSYNCHRONIZED,
    )
    return len(dead)
