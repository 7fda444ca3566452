"""A started instance has the data that come with the program; regions are also brought in by a command."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from market.listings import categories, listings, search_index
from market.places import regions
from server import cli, shipped_data
from server.errors import Failure
from server.settings import Settings
from store.database import SyncDatabase
from store.migrations.run import upgrade
from store.models import SearchWords
from tests.support.database import REGIONS, fresh_database
from tests.support.factories import a_draft, make_user
from tests.support.settings import at


@pytest.fixture
def empty(settings: Settings) -> Iterator[Settings]:
    """Settings of an instance whose database is migrated and has no regions."""
    with fresh_database() as url:
        upgrade(url)
        yield at(settings, database=url)


def names(settings: Settings) -> list[str]:
    database = SyncDatabase(settings.postgres.url)
    try:
        with database.transaction() as session:
            return [region.name for region in regions.page(session, None, None, None, 100).items]
    finally:
        database.dispose()


def test_a_new_database_gets_the_shipped_regions_once(empty: Settings) -> None:
    said: list[str] = []
    shipped_data.prepare(empty, said.append)
    assert said == ["Loading regions from regions.csv", "5335 regions are in the database"]
    assert len(names(empty)) == 17
    shipped_data.prepare(empty, said.append)
    assert len(said) == 2


def test_a_file_is_loaded_by_the_command_again_and_again(
    empty: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty.postgres.url)
    monkeypatch.setattr(sys, "argv", ["neighborbid", "load-regions", str(REGIONS)])
    for _ in range(2):
        assert cli.main() == 0
        assert capsys.readouterr().out.endswith("16 regions are in the database\n")
        assert names(empty) == ["서울특별시", "부산광역시", "세종특별자치시", "경상북도"]


@pytest.mark.parametrize(
    "text", ["", "code\n", "code,name,name_en,latitude,longitude\n11,a,a,0,0\n1,a,a,0,0\n"]
)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(empty: Settings, tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(Failure, match="could not be loaded"):
        shipped_data.load_regions(empty, file, lambda _line: None)
    assert names(empty) == []


def test_a_file_that_is_not_there_is_refused(empty: Settings, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        shipped_data.load_regions(empty, tmp_path / "nothing.csv", lambda _line: None)


def test_categories_and_words_are_there_after_every_start(
    empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "BATCH", 2)
    url = empty.postgres.url
    database = SyncDatabase(url)
    try:
        with database.transaction() as session:
            for _ in range(3):
                listings.create(session, make_user(session), a_draft())
        with psycopg.connect(url) as owner:
            # As it was before there was a search.
            owner.execute("DELETE FROM search_words")
        for _ in range(2):
            shipped_data.prepare(empty, lambda _line: None)
            with database.transaction() as session:
                assert len(categories.tree(session).items) == 13
                found = session.scalars(select(SearchWords.words)).all()
            assert len(found) == 3
            assert all("'bicycle'" in text for text in found)
    finally:
        database.dispose()
