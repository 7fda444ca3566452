"""The real REST application over the real PostgreSQL and Redis, and people who use it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from handlers.http import openapi
from handlers.http.base import Services
from handlers.http.media import MediaThreads
from handlers.http.passwords import Passwords
from handlers.routes import ROUTES
from market.accounts import sessions
from market.accounts.sessions import Lifetime, Principal, RefreshToken
from market.money import wallet
from realtime import asyncapi
from store.database import Database, SyncDatabase
from store.ids import new_id
from store.media.interface import Media
from store.models import Role
from store.redis.clients import Hot
from tests.support.client import Client, People
from tests.support.factories import make_user
from tests.support.keys import TOKENS, UNSUBSCRIBE_KEY, VAULT
from tests.support.listener import Listener
from tests.support.ports import CLOSED_PORT


@pytest.fixture(scope="session")
def passwords() -> Passwords:
    """One for all tests: making it hashes a password."""
    return Passwords()


@pytest.fixture
async def telling_database(database_url: str, hot: Hot) -> AsyncIterator[Database]:
    """The database of the handlers, which tells users after each commit."""
    database = Database(database_url, hot)
    yield database
    await database.dispose()


@pytest.fixture
def app(telling_database: Database, hot: Hot, passwords: Passwords, media: Media) -> Application:
    """As `server.rest` makes it."""
    services = Services(
        telling_database,
        hot,
        development=True,
        tokens=TOKENS,
        vault=VAULT,
        session_lifetime=Lifetime(3600, 7200),
        media=MediaThreads(media),
        handover_keys=[b"a key of the tests"],
        unsubscribe_key=UNSUBSCRIBE_KEY,
        push_key="a key of the tests",
        allowed_origins=frozenset({"https://friend.example"}),
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
async def redis_away(
    change_services: Callable[..., None], database_url: str
) -> AsyncIterator[Callable[[], None]]:
    """Call it, and Redis is away for the handlers from then on."""
    nowhere = Hot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")
    database = Database(database_url, nowhere)
    yield lambda: change_services(hot=nowhere, database=database)
    await database.dispose()
    await nowhere.close()


@pytest.fixture
def guest(http_server_client: AsyncHTTPClient) -> Client:
    """Somebody without a token."""
    return Client(http_server_client)


@pytest.fixture
def person(http_server_client: AsyncHTTPClient, sync_database: SyncDatabase) -> People:
    """Makes logged-in users, with `funds` in the wallet. Below the API: password hashes take long."""

    def make(
        funds: int = 0, session_ttl_s: int = 3600, verified: bool = True, role: Role = Role.USER
    ) -> Client:
        with sync_database.transaction() as session:
            user_id = make_user(session, role=role, verified=verified)
            lifetime = Lifetime(session_ttl_s, session_ttl_s)
            session_id = sessions.open_session(session, user_id, RefreshToken.new(), lifetime)
            if funds:
                wallet.top_up(session, user_id, funds, new_id())
        token, _ = TOKENS.issue(Principal(user_id, session_id))
        return Client(http_server_client, user_id, token)

    return make


@pytest.fixture
def log_in_again(
    http_server_client: AsyncHTTPClient, sync_database: SyncDatabase
) -> Callable[[Client], Client]:
    """The same user with another session."""

    def log_in(client: Client) -> Client:
        with sync_database.transaction() as session:
            session_id = sessions.open_session(
                session, client.user_id, RefreshToken.new(), Lifetime(3600, 3600)
            )
        token, _ = TOKENS.issue(Principal(client.user_id, session_id))
        return Client(http_server_client, client.user_id, token)

    return log_in


@pytest.fixture
async def listener(redis_url: str, hot: Hot) -> AsyncIterator[Listener]:
    """Hears what users are pushed."""
    listener = Listener(redis_url, hot)
    yield listener
    await listener.subscriber.stop()
