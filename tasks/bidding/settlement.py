"""Settling what was sealed."""

from collections.abc import Iterator
from uuid import UUID

import structlog

from market.bidding import settlement
from market.bidding.settlement import Settled
from market.platform.alarms import Alarm
from tasks.app import Resources, periodic, task
from tasks.exclusive_runs import each_due
from tasks.platform.alarms import sound

log = structlog.get_logger()


@task("tasks.settlement.settle")
def settle(resources: Resources, auction_id: str) -> None:
    """Settle an auction whose seal is in PostgreSQL."""
    with resources.database.transaction() as session:
        outcome = settlement.settle(session, UUID(auction_id))
    announce(resources, outcome)


def announce(resources: Resources, outcome: Settled | Alarm | None) -> None:
    """Say what a settlement came to, after its commit: to buyer and seller, or as an alarm."""
    if isinstance(outcome, Alarm):
        sound([outcome])
    elif outcome is not None:
        log.info(
            "auction_settled",
            auction=str(outcome.auction_id),
            order=str(outcome.order_id or ""),
            released=outcome.released,
        )


@periodic("tasks.settlement.settle_due", every_s=5)
def settle_due(resources: Resources) -> None:
    """Settle what a lost message has left. One auction that cannot be settled does not keep the others waiting."""
    settled: Iterator[Settled | Alarm] = each_due(
        resources, settlement.claim_due, settlement.settle, "settlement_failed"
    )
    for outcome in settled:
        announce(resources, outcome)
