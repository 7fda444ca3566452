"""Settling what was sealed."""

from uuid import UUID

import structlog

from market import settlement
from market.alarms import Alarm
from tasks.alarms import sound
from tasks.app import Resources, periodic, task

log = structlog.get_logger()


@task
def settle(resources: Resources, auction_id: str) -> None:
    """Settle an auction whose seal is in PostgreSQL."""
    with resources.database.transaction() as session:
        outcome = settlement.settle(session, UUID(auction_id))
    if isinstance(outcome, Alarm):
        sound([outcome])
    elif outcome is not None:
        log.info(
            "auction_settled",
            auction=auction_id,
            order=str(outcome.order_id or ""),
            released=outcome.released,
        )


@periodic(every_s=5)
def settle_due(resources: Resources) -> None:
    """Settle what a lost message has left. One auction that cannot be settled does not keep the others waiting."""
    with resources.database.transaction() as session:
        due = settlement.due(session)
    for auction_id in due:
        try:
            settle(resources, str(auction_id))
        except Exception:
            log.exception("settlement_failed", auction=str(auction_id))
