"""Makes alarms heard. What they found may be secret and stays in the database."""

from collections.abc import Iterable

import structlog

from market.platform.alarms import Alarm

log = structlog.get_logger()


def sound(alarms: Iterable[Alarm]) -> None:
    """Log alarms, after the commit that stored them."""
    for alarm in alarms:
        log.critical("auction_alarm", reason=alarm.reason.value, auction=str(alarm.auction_id or ""))
