"""The data that come with the program, brought into the migrated database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from market.listings import categories, search_index
from market.places import regions
from server.errors import Failure
from server.settings import REPO, Settings
from store.database import SyncDatabase

REGIONS = REPO / "store" / "data" / "regions.csv"
CATEGORIES = REPO / "store" / "data" / "categories.csv"


def prepare(settings: Settings, say: Callable[[str], None]) -> None:
    """Brings in the regions if there are none, the categories that are missing, and the words of listings from before
    there was a search."""
    with _database(settings) as database:
        with database.transaction() as session:
            without_regions = regions.is_empty(session)
        if without_regions:
            load_regions(settings, REGIONS, say)
        with database.transaction() as session:
            categories.load(session, CATEGORIES)
        more = True
        while more:
            with database.transaction() as session:
                more = search_index.catch_up(session) > 0


def load_regions(settings: Settings, file: Path, say: Callable[[str], None]) -> None:
    """Brings in the regions of a CSV file, all or none. Again, it changes nothing.

    Raises Failure for a file that cannot be used.
    """
    say(f"Loading regions from {file.name}")
    try:
        with _database(settings) as database, database.transaction() as session:
            count = regions.load(session, file)
    except (regions.InvalidRegions, OSError) as error:
        raise Failure(f"The regions could not be loaded: {error}") from error
    say(f"{count} regions are in the database")


@contextmanager
def _database(settings: Settings) -> Iterator[SyncDatabase]:
    database = SyncDatabase(settings.postgres.url)
    try:
        yield database
    finally:
        database.dispose()
