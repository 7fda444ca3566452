"""How long one REST process takes for pages of the search among 100,000 listings.

    ./neighborbid exec python -m bench.search

While the system is up. It makes a database of its own beside the system's, with `bench.listings`, and gives the
running live auctions of it hot state in the system's Redis; at the end it takes both away. One client asks over HTTP,
one page after another, every kind of page as often; the process shares its event loop with the client. The last lines
are the bound, each with the ratio of the measured p95 to it: below 1 is kept.
"""

import argparse
import json
import os
import secrets
import time
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import psycopg
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import select
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from bench import listings
from handlers.http import openapi
from handlers.http.base import Services
from handlers.http.media import MediaThreads
from handlers.http.tokens import AccessTokens
from handlers.routes import ROUTES
from market.accounts import accounts, sessions
from market.accounts.accounts import NewUser
from market.accounts.sessions import Lifetime, LogIn, RefreshToken
from market.bidding import hot_state
from market.places import neighbourhoods
from server import media, settings
from server.process import collect_rarely
from server.settings import Settings
from store.database import Database, SyncDatabase
from store.models import Auction, AuctionKind, AuctionStatus
from store.redis.auctions import state_of
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.vault import Vault

BOUND_MS = 50
DATABASE = "neighborbid_bench_search"
HOME = (37.500613, 127.036431)
QUERIES: dict[str, dict[str, str]] = {
    "the newest": {},
    "live, ending soon": {"state": "live", "sort": "ending_soon"},
    "most bids": {"sort": "most_bids", "state": "live"},
    "closed": {"state": "closed"},
    "cheap first": {"sort": "price_low"},
    "dear first": {"sort": "price_high", "kind": "live"},
    "a price range": {"min_price": "100000", "max_price": "150000", "sort": "price_low", "state": "live"},
    "자전거": {"q": "자전거"},
    "접이식 자전거, ending soon": {"q": "접이식 자전거", "sort": "ending_soon"},
    "급처 검정, cheap first": {"q": "급처 검정", "sort": "price_low"},
    "bicy": {"q": "bicy", "state": "live"},
    "leather bag, most bids": {"q": "leather bag", "sort": "most_bids"},
    "직거래 (in a fifth of all)": {"q": "직거래", "state": "live", "sort": "ending_soon"},
    "a word that nothing has": {"q": "헬리콥터"},
    "a category": {"category": "bicycles"},
    "a branch, ending soon": {"category": "digital", "sort": "ending_soon"},
    "a condition": {"condition": "like_new", "category": "furniture", "sort": "price_low"},
    "a delivery, ending soon": {"delivery": "shipping", "sort": "ending_soon"},
    "Seoul": {"region": "11"},
    "a district, ending soon": {"region": "11680", "sort": "ending_soon"},
    "around me": {"radius": "wide"},
    "around me, ending soon": {"radius": "near", "sort": "ending_soon"},
    "자전거 around me": {"q": "자전거", "radius": "wide", "sort": "price_low"},
}
FACETS: dict[str, dict[str, str]] = {
    "facets of 자전거": {"q": "자전거", "facets": "true"},
    "facets of a category": {"category": "bicycles", "facets": "true"},
    "facets around me": {"radius": "wide", "facets": "true"},
    "facets of all live ones": {"state": "live", "facets": "true"},
    "facets of everything": {"facets": "true"},
}
PAGE = 50
LIFETIME = Lifetime(3600, 3600)


async def _load(hot: Hot, database: SyncDatabase) -> list[UUID]:
    """Give the running live auctions hot state. Returns their ids."""
    with database.transaction() as session:
        rows = session.scalars(
            select(Auction).where(Auction.kind == AuctionKind.LIVE, Auction.status == AuctionStatus.PUBLISHED)
        )
        pipe = hot.client.pipeline(transaction=False)
        ids = []
        for auction in rows:
            keys = keys_of(auction.id)
            fields: dict[Any, Any] = dict(state_of(hot_state.hot_auction(auction, [])))
            pipe.hset(keys.auction, mapping=fields)
            pipe.hset(keys.viewers, "bench", "3:0")
            ids.append(auction.id)
    await pipe.execute()
    return ids


async def _unload(hot: Hot, ids: Sequence[UUID]) -> None:
    pipe = hot.client.pipeline(transaction=False)
    for auction_id in ids:
        pipe.delete(keys_of(auction_id).auction, keys_of(auction_id).viewers)
    await pipe.execute()


async def measure(loaded: Settings, url: str, rounds: int) -> dict[str, list[float]]:
    """The ms that each page took, by its name."""
    synchronous, database, hot = SyncDatabase(url), Database(url), Hot.connect(loaded.redis.url)
    with synchronous.transaction() as session:
        new = NewUser(email=f"{secrets.token_hex(8)}@bench.example", password_hash="", display_name="Bench")
        user = accounts.register(session, new, verified=True)
        assert user is not None
        log_in = LogIn(user, sessions.open_session(session, user, RefreshToken.new(), LIFETIME))
        home = neighbourhoods.verify(session, user, *HOME, accuracy_m=10).id
    running = await _load(hot, synchronous)
    tokens = AccessTokens(loaded.keys.tokens)
    token, _ = tokens.issue(log_in)
    services = Services(
        database,
        hot,
        development=True,
        tokens=tokens,
        vault=Vault(loaded.keys.secrets),
        session_lifetime=LIFETIME,
        media=MediaThreads(media.connect(loaded)),
        handover_keys=[],
        unsubscribe_key=b"",
        push_key="",
        openapi=openapi.document(ROUTES),
        asyncapi=b"",
    )
    server = HTTPServer(Application([*ROUTES], services=services))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    client = AsyncHTTPClient()
    collect_rarely()
    pages = [
        (name, query | ({"neighbourhood_id": str(home)} if "radius" in query else {}))
        for name, query in (QUERIES | FACETS).items()
    ]
    taken: dict[str, list[float]] = {name: [] for name, _ in pages}
    order = Random(1)
    try:
        for number in range(rounds + 1):
            order.shuffle(pages)
            for name, query in pages:
                address = f"http://127.0.0.1:{port}/api/v1/auctions?{urlencode(query | {'limit': str(PAGE)})}"
                started = time.perf_counter()
                answer = await client.fetch(address, headers={"Authorization": f"Bearer {token}"})
                # The first round connects and prepares.
                if number:
                    taken[name].append((time.perf_counter() - started) * 1000)
                assert "items" in json.loads(answer.body)
    finally:
        await _unload(hot, running)
        server.stop()
        await hot.close()
        await database.dispose()
        synchronous.dispose()
    return taken


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    loaded = settings.load(os.environ)
    url = listings.own_database(loaded.postgres.owner_url, DATABASE, options.listings)
    try:
        taken = uvloop.run(measure(loaded, url, options.rounds))
    finally:
        with psycopg.connect(loaded.postgres.owner_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    table = Table(f"ms for {PAGE} of {options.listings}", "p50", "p95", "p99")
    rows = {
        **taken,
        "all without facets": [ms for name in QUERIES for ms in taken[name]],
        "all with facets": [ms for name in FACETS for ms in taken[name]],
    }
    for name, values in rows.items():
        table.add_row(name, *(f"{_percentile(values, share):.1f}" for share in (0.5, 0.95, 0.99)))
    console = Console()
    console.print(table)
    for name in ("all without facets", "all with facets"):
        console.print(f"{name}: p95 / {BOUND_MS} ms = {_percentile(rows[name], 0.95) / BOUND_MS:.2f}")


if __name__ == "__main__":
    main()
