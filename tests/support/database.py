"""Fixtures and factories for tests against a real PostgreSQL."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from argon2 import PasswordHasher
from sqlalchemy import Engine, delete, event, make_url, select, text
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.accounts.accounts import NewUser
from market.listings import categories, listings
from market.listings.auction_views import AuctionView
from market.listings.listings import Draft, Place, SoftClose
from market.money import ledger, wallet
from market.money.ledger import Posting
from market.notifications import notifications
from market.notifications.notifications import News
from market.places import neighbourhoods, regions
from market.places.neighbourhoods import Radius
from store.database import Database, SyncDatabase
from store.ids import new_id
from store.migrations.run import upgrade
from store.models import (
    AccountKind,
    Event,
    Notification,
    Order,
    OrderState,
    PlatformSetting,
    Role,
    TransferKind,
)
from store.redis import switches
from store.redis.clients import SyncHot

DEFAULT_URL = "postgresql://neighborbid:dev@127.0.0.1:15432/postgres"

MINUTE_MS = 60_000

NO_PASSWORD = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash(os.urandom(16).hex())
"""The hash of a password that nobody knows, as cheap to check as can be."""

NOBODYS_ID = "5a0e1f6c-5b3a-4c3e-9d6e-3f2b1c0d9e8f"
"""Nothing has this id, which tests may name: processes that share the tests must know each by the same name."""

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


def make_user(
    session: Session, display_name: str = "Somebody", role: Role = Role.USER, verified: bool = True
) -> UUID:
    """A user without money."""
    new = NewUser(
        email=f"{new_id()}@example.org", password_hash=NO_PASSWORD, display_name=display_name, role=role
    )
    user_id = accounts.register(session, new, verified=verified)
    assert user_id is not None
    return user_id


def make_funded_user(session: Session, amount: int = 1_000_000, display_name: str = "Somebody") -> UUID:
    """A user with `amount` available."""
    user_id = make_user(session, display_name)
    wallet.top_up(session, user_id, amount, new_id())
    return user_id


def a_draft(**changes: Any) -> Draft:
    """An auction that is open and runs for an hour, unless `changes` say otherwise."""
    now = int(time() * 1000)
    fields: dict[str, Any] = {
        "title": "A bicycle",
        "description": "Ridden twice.",
        "start_price": 1_000,
        "increments": [(0, 100), (10_000, 500)],
        "opens_at": now - MINUTE_MS,
        "ends_at": now + 60 * MINUTE_MS,
        "soft_close": SoftClose(window_ms=MINUTE_MS, extension_ms=MINUTE_MS, cap_ms=10 * MINUTE_MS),
    }
    return Draft(**fields | changes)


def make_published_auction(session: Session, seller_id: UUID | None = None, **changes: Any) -> AuctionView:
    """A published auction, by default of a new seller; `changes` as in `a_draft`."""
    seller_id = seller_id or make_user(session, "A seller")
    draft = listings.create(session, seller_id, a_draft(**changes))
    return listings.publish(session, seller_id, draft.id)


def make_order(
    session: Session,
    seller_id: UUID | None = None,
    buyer_id: UUID | None = None,
    hammer_price: int = 1_500,
    **changes: Any,
) -> Order:
    """A paid order, of new users unless said; `changes` as in `a_draft`."""
    seller_id = seller_id or make_user(session, "A seller")
    order = Order(
        id=new_id(),
        auction_id=make_published_auction(session, seller_id, **changes).id,
        seller_id=seller_id,
        buyer_id=buyer_id or make_user(session, "A buyer"),
        hammer_price=hammer_price,
        state=OrderState.IN_ESCROW,
    )
    session.add(order)
    session.flush()
    provider = ledger.account(session, AccountKind.PROVIDER, None)
    escrow = ledger.account(session, AccountKind.ESCROW, order.id)
    ledger.post(session, [Posting(new_id(), TransferKind.TOP_UP, provider, escrow, hammer_price)])
    return order


def make_notification(session: Session, user_id: UUID, event: Event = Event.REVIEW) -> UUID:
    """Something that a user is told; its id."""
    cause = str(new_id())
    notifications.notify(session, [News(user_id, event, cause, {"title": "A bicycle"})])
    return session.scalars(select(Notification.id).where(Notification.key == f"{event}:{cause}")).one()


YEOKSAM = (37.500613, 127.036431)
"""Latitude and longitude of a place in `some_regions`."""


def make_neighbour(
    session: Session, funds: int = 0, position: tuple[float, float] = YEOKSAM
) -> tuple[UUID, UUID]:
    """A user with `funds` who lives at `position`, and the id of the neighbourhood. Needs `some_regions`."""
    user_id = make_funded_user(session, funds) if funds else make_user(session)
    return user_id, neighbourhoods.verify(session, user_id, *position, accuracy_m=10).id


def make_neighbourhood_auction(session: Session, **changes: Any) -> AuctionView:
    """A published auction among the neighbours of a new seller at `YEOKSAM`; `changes` as in `a_draft`."""
    seller_id, home = make_neighbour(session)
    return make_published_auction(session, seller_id, place=Place(home, Radius.NEAR), **changes)
