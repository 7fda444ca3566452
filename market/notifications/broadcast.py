"""Notifies many users, a batch in each transaction. How far a broadcast has come is stored, so that it goes on behind
the last one after a crash or in the next run. No user is notified twice in any case: `notify` sees to that."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.notifications import notifications
from market.notifications.notifications import NewNotification
from store.models import Broadcast, User

Anything = tuple[Any, ...]

BATCH = 1_000
"""Users in a transaction."""


def reachable() -> ColumnElement[bool]:
    """Users who can log in: nobody else needs notifications."""
    return User.deleted_at.is_(None) & User.banned_at.is_(None)


def notify_next(
    session: Session, key: str, users: Select[*Anything], new: Callable[[Row[*Anything]], NewNotification]
) -> bool:
    """Notify the next of those whom `users` finds, with `User.id` as the first column, of what `new` makes of their
    rows. Whether there are more. `key` names the broadcast."""
    last = select(Broadcast.last).where(Broadcast.key == key)
    query = users.order_by(User.id).limit(BATCH)
    after: UUID | None = session.scalar(last)
    rows = session.execute(query if after is None else query.where(User.id > after)).all()
    notifications.notify(session, [new(row) for row in rows])
    if len(rows) < BATCH:
        session.execute(delete(Broadcast).where(Broadcast.key == key))
        return False
    progress = {"last": rows[-1][0]}
    session.execute(
        insert(Broadcast)
        .values(key=key, **progress)
        .on_conflict_do_update(index_elements=[Broadcast.key], set_=progress)
    )
    return True
