"""The real REST application in a thread of its own, so that ordinary HTTP clients can call it, and users of it."""

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from handlers.http import openapi
from handlers.http.base import Services
from handlers.http.media import MediaThreads
from handlers.http.tokens import AccessTokens
from handlers.routes import ROUTES
from market.accounts import sessions
from market.accounts.sessions import Lifetime, Principal, RefreshToken
from market.money import wallet
from realtime import asyncapi
from store.database import Database, SyncDatabase
from store.ids import new_id
from store.media.local import LocalMedia
from store.models import Role
from store.redis.clients import Hot
from store.vault import Vault
from tests.support.api import People, User
from tests.support.factories import make_user

START_TIMEOUT_S = 30
TOKENS = AccessTokens({"test": os.urandom(32)})
VAULT = Vault({"test": os.urandom(32)})
LIFETIME = Lifetime(3600, 3600)


@pytest.fixture(scope="module")
def base_url(database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the application listens, the same one for all tests."""
    media = LocalMedia(tmp_path_factory.mktemp("media"), b"a secret of the tests")
    socket, port = bind_unused_port()
    started, stop = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        hot = Hot.connect(redis_url)
        database = Database(database_url, hot)
        services = Services(
            database,
            hot,
            development=True,
            tokens=TOKENS,
            vault=VAULT,
            session_lifetime=LIFETIME,
            media=MediaThreads(media),
            handover_keys=[b"a key of the tests"],
            unsubscribe_key=b"a key of the tests",
            push_key="a key of the tests",
            openapi=openapi.document(ROUTES),
            asyncapi=asyncapi.document(),
        )
        server = HTTPServer(Application([*ROUTES], services=services))
        server.add_socket(socket)
        started.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()
        await hot.close()
        await database.dispose()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    assert started.wait(START_TIMEOUT_S)
    yield f"http://127.0.0.1:{port}"
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(START_TIMEOUT_S)


@pytest.fixture
def person(sync_database: SyncDatabase) -> People:
    """Makes users with money."""

    def make(role: Role = Role.USER) -> User:
        with sync_database.transaction() as session:
            user_id = make_user(session, role=role)
            session_id = sessions.open_session(session, user_id, RefreshToken.new(), LIFETIME)
            wallet.top_up(session, user_id, 1_000_000, new_id())
        token, _ = TOKENS.issue(Principal(user_id, session_id, role))
        return User(user_id, token)

    return make
