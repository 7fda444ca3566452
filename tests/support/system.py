"""The whole system as `./neighborbid test` has started it, reached through its gateway."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from handlers.http.tokens import AccessTokens
from market.accounts import sessions
from market.accounts.sessions import Lifetime, Principal, RefreshToken
from market.money import wallet
from realtime.replica import Replica
from server import settings
from server.client import Api, LiveSocket, Message
from server.settings import Settings
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from tests.support.factories import make_user
from tests.support.waiting import until


@dataclass(frozen=True)
class Person:
    """A registered user, logged in at the gateway."""

    id: UUID
    api: Api


class System:
    """The running system: its gateway, its processes and its database."""

    def __init__(self, settings: Settings, database: SyncDatabase) -> None:
        self.settings = settings
        self.database = database
        self.url = settings.gateway.url
        self._tokens = AccessTokens(settings.keys.tokens)

    @property
    def realtime_urls(self) -> list[str]:
        """Each realtime process, past the gateway."""
        return [f"http://127.0.0.1:{port}" for port in self.settings.realtime.ports]

    def person(self, funds: int = 0, role: Role = Role.USER) -> Person:
        """A new user with `funds` in the wallet. Made below the API: hundreds of password hashes take long."""
        with self.database.transaction() as session:
            user_id = make_user(session, role=role)
            session_id = sessions.open_session(session, user_id, RefreshToken.new(), Lifetime(3600, 3600))
            if funds:
                wallet.top_up(session, user_id, funds, new_id())
        api = Api(self.url)
        api.access_token, _ = self._tokens.issue(Principal(user_id, session_id))
        return Person(user_id, api)

    async def auction(self, seller: Person, **fields: object) -> str:
        """A published auction that is open already; `fields` replace those of the draft. Returns its id."""
        with self.database.transaction() as session:
            now = database_now_ms(session)
        draft = {
            "title": "A lot",
            "description": "To be sold.",
            "start_price": 1_000,
            "increments": [[0, 100]],
            "opens_at": now - 1_000,
            "ends_at": now + 60_000,
            **fields,
        }
        created = await seller.api.post("/seller/auctions", draft)
        await seller.api.post(f"/seller/auctions/{created['id']}/publish")
        return str(created["id"])

    async def settled(self, auction: str) -> Message:
        """The auction, once it is sold or unsold."""
        api = Api(self.url)

        async def done() -> Message | None:
            detail = await api.get(f"/auctions/{auction}")
            return detail if detail["state"] in ("sold", "unsold") else None

        return await until(done)


def database_now_ms(session: Session) -> int:
    """PostgreSQL's clock in ms."""
    return int(session.scalar(select(func.extract("epoch", func.clock_timestamp()) * 1000)) or 0)


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """The system under test."""
    if "NEIGHBORBID_HOME" not in os.environ:
        pytest.fail("These tests need the running test instance: start them with `./neighborbid test`.")
    loaded = settings.load(os.environ)
    database = SyncDatabase(loaded.postgres.url)
    yield System(loaded, database)
    database.dispose()


class Viewer:
    """A socket with the replica of one auction."""

    def __init__(self) -> None:
        self.replica = Replica()
        self.messages: list[Message] = []
        self.socket: LiveSocket

    async def watch(self, url: str, auction: str) -> "Viewer":
        self.socket = await LiveSocket.open(url, self._receive)
        await self.socket.request("subscribe", auction=auction)
        return self

    def _receive(self, message: Message) -> None:
        self.messages.append(message)
        self.replica.apply(message)


async def bidding_socket(system: System, person: Person) -> LiveSocket:
    socket = await LiveSocket.open(system.url, lambda message: None)
    ticket = (await person.api.post("/ws-tickets"))["ticket"]
    assert (await socket.request("authenticate", ticket=ticket))["type"] == "authenticated"
    return socket
