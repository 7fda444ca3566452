"""What speaks for and against a user. PostgreSQL makes the trust of these sums; docs/api.md has the formula."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from store.models import User


def add(session: Session, sums: Mapping[UUID, Mapping[str, int]]) -> None:
    """Add to the sums of users, by the names of their columns. The users are locked in the order of their ids."""
    for user_id in sorted(sums):
        added = {name: getattr(User, name) + amount for name, amount in sums[user_id].items()}
        session.execute(
            update(User).where(User.id == user_id).values(added),
            execution_options={"synchronize_session": False},
        )
