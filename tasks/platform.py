"""What admins change and the other processes must know."""

from market import platform
from store import switches
from store.switches import Switches
from tasks.app import Resources, periodic


@periodic(every_s=1)
def bring_switches(resources: Resources) -> None:
    """Have Redis know the switches, in case it could not be told or has lost them."""
    with resources.database.transaction() as session:
        setting = platform.get(session, Switches)
    resources.hot.run(switches.put(setting.version, setting.value))
