"""The ends of sessions that no request has brought to the sockets, and cleaning up after them."""

from market.accounts import sessions
from store.redis import revocations
from tasks.app import Resources, periodic


@periodic("tasks.sessions.tell_revoked", every_s=5)
def tell_revoked(resources: Resources) -> None:
    """Tell the sockets of sessions that were revoked while Redis was away."""
    with resources.database.transaction() as session:
        untold = sessions.untold(session)
    if not untold:
        return
    revocations.publish_from_task(resources.hot, untold)
    with resources.database.transaction() as session:
        sessions.told(session, untold)


@periodic("tasks.sessions.end_expired", every_s=60)
def end_expired(resources: Resources) -> None:
    """Delete expired sessions, after their sockets were told."""
    with resources.database.transaction() as session:
        expired = sessions.expired(session)
    if not expired:
        return
    revocations.publish_from_task(resources.hot, expired)
    with resources.database.transaction() as session:
        sessions.forget(session, expired)
