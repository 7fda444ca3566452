"""The real REST application over the real PostgreSQL and Redis, and people who use it."""

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from handlers import openapi
from handlers.base import Services, token_hash
from handlers.passwords import Passwords
from handlers.routes import ROUTES
from market import accounts, wallet
from server import asyncapi
from store.database import Database, SyncDatabase
from store.hot import Hot
from store.ids import new_id
from tests.database import make_user
from tests.handlers.client import Client

CLOSED_PORT = 1
"""Nobody listens there."""

People = Callable[..., Client]


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """One for all tests: making it hashes a password."""
    return Passwords()


@pytest.fixture
def app(database: Database, hot: Hot, passwords: Passwords) -> Application:
    """As `server.rest` makes it."""
    services = Services(
        database,
        hot,
        development=True,
        session_ttl_s=3600,
        openapi=openapi.document(ROUTES),
        asyncapi=asyncapi.document(),
        passwords=passwords,
    )
    return Application([*ROUTES], services=services)


@pytest.fixture
def change_services(app: Application) -> Callable[..., None]:
    """Replaces some of the services for the rest of the test."""

    def change(**changes: Any) -> None:
        app.settings["services"] = replace(app.settings["services"], **changes)

    return change


@pytest.fixture
async def redis_away(change_services: Callable[..., None]) -> AsyncIterator[Callable[[], None]]:
    """Call it, and Redis is away for the handlers from then on."""
    nowhere = Hot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")
    yield lambda: change_services(hot=nowhere)
    await nowhere.close()


@pytest.fixture
def guest(http_server_client: AsyncHTTPClient) -> Client:
    """Somebody without a token."""
    return Client(http_server_client)


@pytest.fixture
def person(http_server_client: AsyncHTTPClient, sync_database: SyncDatabase) -> People:
    """Makes logged-in users, with `funds` in the wallet. Below the API: password hashes take long."""

    def make(funds: int = 0, session_ttl_s: int = 3600) -> Client:
        token = secrets.token_urlsafe(32)
        with sync_database.transaction() as session:
            user_id = make_user(session)
            accounts.open_session(session, user_id, token_hash(token), session_ttl_s)
            if funds:
                wallet.top_up(session, user_id, funds, new_id())
        return Client(http_server_client, user_id, token)

    return make
