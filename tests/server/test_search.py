"""A started instance has all that the search needs."""

import psycopg
import pytest
from sqlalchemy import select

from market.listings import categories, listings, search_index
from server import search
from server.settings import Settings
from store.database import SyncDatabase
from store.migrations.run import upgrade
from store.models import SearchWords
from tests.support.database import a_draft, fresh_database, make_user
from tests.support.settings import at


def test_categories_and_words_are_there_after_every_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "BATCH", 2)
    with fresh_database() as url:
        upgrade(url)
        database = SyncDatabase(url)
        with database.transaction() as session:
            for _ in range(3):
                listings.create(session, make_user(session), a_draft())
        with psycopg.connect(url) as owner:
            # As it was before there was a search.
            owner.execute("DELETE FROM search_words")
        for _ in range(2):
            search.prepare(at(settings, database=url))
            with database.transaction() as session:
                assert len(categories.tree(session).items) == 13
                found = session.scalars(select(SearchWords.words)).all()
            assert len(found) == 3
            assert all("'bicycle'" in text for text in found)
        database.dispose()
