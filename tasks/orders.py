"""What happens to orders and reviews because time passes."""

import structlog

from market import orders, reviews
from tasks.app import Resources, periodic
from tasks.turns import each_due

log = structlog.get_logger()


@periodic(every_s=30)
def time_out_orders(resources: Resources) -> None:
    """Move on the orders whose time is up. One that fails keeps no other from it."""
    for state in each_due(resources, orders.claim_due, orders.time_out, "order_time_out_failed"):
        log.info("order_timed_out", state=state)


@periodic(every_s=300)
def count_reviews(resources: Resources) -> None:
    """Count the reviews whose time to be seen has come."""
    with resources.database.transaction() as session:
        counted = reviews.count_due(session)
    if counted:
        log.info("reviews_counted", count=counted)
