"""Deleting what has served its time."""

from market import idempotency
from tasks.app import Resources, periodic


@periodic(every_s=600)
def forget_idempotency_keys(resources: Resources) -> None:
    """Delete the answers that no client asks for again."""
    with resources.database.transaction() as session:
        idempotency.forget_old(session)
