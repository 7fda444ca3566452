"""Looking for signs of fraud."""

from market import signals
from tasks.app import Resources, periodic


@periodic(every_s=600)
def find_signals(resources: Resources) -> None:
    """Note what looks like fraud."""
    with resources.database.transaction() as session:
        signals.find(session)


@periodic(every_s=3600)
def forget_traces(resources: Resources) -> None:
    """Delete old traces of log-ins."""
    with resources.database.transaction() as session:
        signals.forget_traces(session)
