"""Fixtures and factories for tests against a real PostgreSQL."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Engine, delete, event, make_url, text
from sqlalchemy.orm import Session

from market.listings import categories
from market.places import regions
from store.database import Database, SyncDatabase
from store.migrations.run import upgrade
from store.models import PlatformSetting
from store.redis import switches
from store.redis.clients import SyncHot

DEFAULT_URL = "postgresql://neighborbid:dev@127.0.0.1:15432/postgres"


REGIONS = Path(__file__).with_name("regions.csv")
CATEGORIES = Path(__file__).parents[2] / "store" / "data" / "categories.csv"


@contextmanager
def fresh_database(template: str = "template1") -> Iterator[str]:
    """The owner's URL of a database on the test server, a copy of `template`, which is dropped afterwards.

    The superuser drops it: nobody else may end an autovacuum that is at work in it.
    """
    server = make_url(os.environ.get("DATABASE_URL", DEFAULT_URL))
    owner = server.render_as_string(hide_password=False)
    name = f"neighborbid_unit_{uuid4().hex[:12]}"
    _administer(owner, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(os.environ.get("SUPERUSER_URL", owner), f"DROP DATABASE {name} WITH (FORCE)")


def _administer(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture(scope="session")
def migrated() -> Iterator[str]:
    """The name of a migrated database, to be copied: nobody may be connected to it."""
    with fresh_database() as url:
        upgrade(url)
        name = make_url(url).database
        assert name is not None
        yield name


@pytest.fixture(scope="module")
def database_url(migrated: str) -> Iterator[str]:
    """The owner's URL of a migrated database that belongs to one module's tests alone: what is slow or wrong among
    thousands of rows is so by what the module itself made, not by what ran before."""
    with fresh_database(template=migrated) as url:
        yield url


@pytest.fixture(scope="module")
def sync_database(database_url: str) -> Iterator[SyncDatabase]:
    """The database as Celery uses it: real transactions, whose rows stay until the end of the module."""
    database = SyncDatabase(database_url)
    yield database
    database.dispose()


@pytest.fixture(scope="module")
def some_regions(sync_database: SyncDatabase) -> None:
    """A few regions of four 시/도 are in the database."""
    with sync_database.transaction() as session:
        regions.load(session, REGIONS)


@pytest.fixture(scope="module")
def all_categories(sync_database: SyncDatabase) -> None:
    """The shipped categories are in the database."""
    with sync_database.transaction() as session:
        categories.load(session, CATEGORIES)


@pytest.fixture
def default_settings(sync_database: SyncDatabase, sync_hot: SyncHot) -> Iterator[None]:
    """Nobody has changed the platform's settings; what the test changes is undone for the other tests."""
    sync_hot.client.delete(switches.KEY)
    yield
    with sync_database.transaction() as session:
        # The application may not delete settings; the owner of the tables may.
        session.execute(text("SET LOCAL ROLE NONE"))
        session.execute(delete(PlatformSetting))
    sync_hot.client.delete(switches.KEY)


@pytest.fixture
def db_session(sync_database: SyncDatabase) -> Iterator[Session]:
    """One transaction that is rolled back after the test. Races need transactions of their own: `sync_database`."""
    with sync_database.transaction() as session:
        yield session
        session.rollback()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database as Tornado uses it, on the loop of the test."""
    database = Database(database_url)
    yield database
    await database.dispose()


@contextmanager
def statements() -> Iterator[list[str]]:
    """What is asked of PostgreSQL meanwhile; a statement for many rows as often as there are rows."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        seen.extend([statement] * (len(values) if many else 1))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
