"""What a worker finds that goes through everything that is due."""

from collections.abc import Callable
from uuid import UUID

from sqlalchemy.orm import Session

from market.work_queue import Due


def all_due(session: Session, claim: Callable[[Session, Due | None], Due | None]) -> list[UUID]:
    """In the order in which it is claimed."""
    found: list[UUID] = []
    after = None
    while after := claim(session, after):
        found.append(after.id)
    return found
