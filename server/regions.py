"""The regions, brought from a file into the database."""

from collections.abc import Callable
from pathlib import Path

from market.places import regions
from server.errors import Failure
from server.settings import REPO, Settings
from store.database import SyncDatabase

SHIPPED = REPO / "store" / "data" / "regions.csv"


def load(settings: Settings, file: Path, say: Callable[[str], None]) -> None:
    """Brings the regions of a CSV file into the migrated database, all or none. Again, it changes nothing.

    Raises Failure for a file that cannot be used.
    """
    say(f"Loading the regions of {file.name}")
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            count = regions.load(session, file)
    except (regions.InvalidRegions, OSError) as error:
        raise Failure(f"The regions cannot be loaded: {error}") from error
    finally:
        database.dispose()
    say(f"{count} regions are in the database")


def load_first(settings: Settings, say: Callable[[str], None]) -> None:
    """Brings the shipped regions into a database that has none."""
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            empty = regions.is_empty(session)
    finally:
        database.dispose()
    if empty:
        load(settings, SHIPPED, say)
