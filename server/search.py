"""What the search needs in the database."""

from market.listings import categories, search_index
from server.settings import REPO, Settings
from store.database import SyncDatabase

CATEGORIES = REPO / "store" / "data" / "categories.csv"


def prepare(settings: Settings) -> None:
    """Brings the shipped categories that it does not know into the migrated database, and the words of listings from
    before there was a search."""
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            categories.load(session, CATEGORIES)
        more = True
        while more:
            with database.transaction() as session:
                more = search_index.catch_up(session) > 0
    finally:
        database.dispose()
