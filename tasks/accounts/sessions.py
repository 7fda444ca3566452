"""Sessions that have ended: closing the sockets that no request has closed, and cleaning up."""

from market.accounts import sessions
from tasks.app import Resources, periodic


@periodic("tasks.sessions.tell_revoked", every_s=5)
def close_sockets(resources: Resources) -> None:
    """Close the sockets of sessions that were revoked while Redis was away."""
    with resources.database.transaction() as session:
        sessions.close_sockets(session)


@periodic("tasks.sessions.end_expired", every_s=60)
def end_expired(resources: Resources) -> None:
    """Delete expired sessions, after their sockets were closed."""
    with resources.database.transaction() as session:
        sessions.end_expired(session)
