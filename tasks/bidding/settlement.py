"""Settling what was sealed."""

from uuid import UUID

from market.bidding import settlement
from tasks.app import Resources, periodic, task
from tasks.exclusive_runs import do_due


@task(settlement.TASK)
def settle(resources: Resources, auction_id: str) -> None:
    """Settle an auction whose seal is in PostgreSQL."""
    with resources.database.transaction() as session:
        settlement.settle(session, UUID(auction_id))


@periodic("tasks.settlement.settle_due", every_s=5)
def settle_due(resources: Resources) -> None:
    """Settle what a lost message has left. One auction that cannot be settled does not keep the others waiting."""
    do_due(resources, settlement.claim_due, settlement.settle, "settlement_failed")
