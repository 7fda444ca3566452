"""What happens to orders and reviews because time passes."""

import structlog

from market.orders import orders, reviews
from tasks.app import Resources, periodic
from tasks.exclusive_runs import do_due

log = structlog.get_logger()


@periodic("tasks.orders.time_out_orders", every_s=30)
def time_out_orders(resources: Resources) -> None:
    """Move on the orders whose time is up. One that fails keeps no other from it."""
    do_due(resources, orders.claim_due, orders.time_out, "order_time_out_failed")


@periodic("tasks.orders.count_reviews", every_s=300)
def count_reviews(resources: Resources) -> None:
    """Count the reviews whose time to be seen has come."""
    with resources.database.transaction() as session:
        counted = reviews.count_due(session)
    if counted:
        log.info("reviews_counted", count=counted)
