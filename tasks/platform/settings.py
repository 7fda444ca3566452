"""What admins change and the other processes must know."""

from market.platform import settings
from tasks.app import Resources, periodic


@periodic("tasks.platform.bring_switches", every_s=1)
def bring_switches(resources: Resources) -> None:
    """Write the switches to Redis, in case it was away at their change or has lost them."""
    with resources.database.transaction() as session:
        settings.bring_switches(session)
