"""Looking for signs of fraud."""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from market.moderation import fraud_signals
from store.models import FraudSignalKind
from tasks.app import Resources, periodic

log = structlog.get_logger()


@periodic("tasks.signals.find_signals", every_s=600)
def find_signals(resources: Resources) -> None:
    """Note what looks like fraud. A kind that cannot be looked for keeps no other from being found."""
    for kind in FraudSignalKind:
        try:
            with resources.database.transaction() as session:
                fraud_signals.find(session, kind)
        except SQLAlchemyError:
            log.exception("signals_not_looked_for", kind=kind)


@periodic("tasks.signals.forget_traces", every_s=3600)
def forget_traces(resources: Resources) -> None:
    """Delete old traces of log-ins."""
    with resources.database.transaction() as session:
        fraud_signals.forget_traces(session)
