"""What happens to orders and reviews because time passes."""

import structlog

from market import orders, reviews
from tasks.app import Resources, periodic

log = structlog.get_logger()


@periodic(every_s=30)
def time_out_orders(resources: Resources) -> None:
    """Move on the orders whose time is up. One that fails keeps no other from it."""
    with resources.database.transaction() as session:
        due = orders.due(session)
    for order_id in due:
        try:
            with resources.database.transaction() as session:
                state = orders.time_out(session, order_id)
        except Exception:
            log.exception("order_time_out_failed", order=str(order_id))
            continue
        if state is not None:
            log.info("order_timed_out", order=str(order_id), state=state)


@periodic(every_s=300)
def count_reviews(resources: Resources) -> None:
    """Count the reviews whose time to be seen has come."""
    with resources.database.transaction() as session:
        counted = reviews.count_due(session)
    if counted:
        log.info("reviews_counted", count=counted)
