"""What admins change holds everywhere within a second."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pytest_tornasync.plugin import AsyncHTTPServerClient  # type: ignore[import-untyped]
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from handlers.routes import ROUTES
from market.listings import listings
from market.places import neighbourhoods
from realtime.limits import Limits
from store.database import Database, SyncDatabase
from store.models import Role
from store.redis import switches
from store.redis.clients import Hot, SyncHot
from store.redis.switches import Switches
from tasks.app import Resources
from tasks.platform.settings import bring_switches
from tests.support.client import Client, People
from tests.support.factories import YEOKSAM, a_draft, make_neighbourhood_auction, make_published_auction
from tests.support.live_client import Client as Live
from tests.support.live_client import load
from tests.support.realtime import start, stop
from tests.support.waiting import until

ON = {
    "registrations": True,
    "publishing": True,
    "live_bidding": True,
    "neighbourhood_bidding": True,
    "payments": True,
}


pytestmark = pytest.mark.usefixtures("default_settings")


@pytest.fixture
def admin(person: People) -> Client:
    return person(role=Role.ADMIN)


async def put(admin: Client, name: str, value: dict[str, Any]) -> Any:
    version = (await admin.get(f"/admin/{name}"))["version"]
    body = {"value": value, "reason": "A test"}
    return await admin.done("PUT", f"/admin/{name}", body, version=version)


async def test_everybody_sees_what_holds(admin: Client, guest: Client) -> None:
    before = await guest.get("/platform")
    assert before["seller_fee"] == {"basis_points": 0, "floor": 0, "cap": None}
    assert before["switches"] == ON
    fee = {"basis_points": 250, "floor": 10, "cap": 9_000}
    assert await put(admin, "seller-fee", fee) == {"version": 1, "value": fee}
    tables = [{"name": "coarse", "increments": [[0, 1_000]]}]
    await put(admin, "increment-tables", {"items": tables})
    now = int(time.time() * 1000)
    notice = {"text_ko": "점검", "text_en": "Upkeep", "starts_at": now - 60_000, "ends_at": now + 60_000}
    made = await admin.post("/admin/announcements", notice | {"reason": "A test"})
    after = await guest.get("/platform")
    assert (after["seller_fee"], after["increment_tables"]) == (fee, tables)
    assert made in after["announcements"]
    await admin.post(f"/admin/announcements/{made['id']}/end", {"reason": "Enough"})
    assert made not in (await guest.get("/platform"))["announcements"]
    assert made["id"] in [one["id"] for one in await admin.items("/admin/announcements", 50)]


async def test_what_cannot_be_is_refused(admin: Client) -> None:
    body: dict[str, Any]
    for value in ({"basis_points": 5_001}, {"floor": -1}, {"cap": 2**53}, {"basis_points": 1.5}):
        body = {"value": {"basis_points": 1, "floor": 0, "cap": None} | value, "reason": "A test"}
        assert await admin.refused("PUT", "/admin/seller-fee", body, version=0) == "invalid_body"
    body = {"value": {"items": [{"name": "one", "increments": [[1, 1]]}]}, "reason": "A test"}
    assert await admin.refused("PUT", "/admin/increment-tables", body, version=0) == "invalid_increments"
    changes: list[dict[str, Any]] = [
        {"value": {"live_bidding": False}},
        {"reason": ""},
        {"value": ON | {"more": True}},
    ]
    for change in changes:
        body = {"value": ON, "reason": "A test"} | change
        assert await admin.refused("PUT", "/admin/switches", body, version=0) == "invalid_body"
    assert await admin.get("/admin/switches") == {"version": 0, "value": ON}


async def test_an_edit_names_the_version_that_was_read(admin: Client) -> None:
    await put(admin, "switches", ON)
    body = {"value": ON, "reason": "A test"}
    assert await admin.refused("PUT", "/admin/switches", body, version=0) == "precondition_failed"
    assert await admin.refused("PUT", "/admin/switches", body) == "precondition_required"


async def test_without_redis_a_switch_is_brought_later(
    admin: Client, redis_away: Any, hot: Hot, resources: Resources
) -> None:
    await put(admin, "switches", ON)
    redis_away()
    await put(admin, "switches", ON | {"live_bidding": False})
    assert await hot.run(switches.read()) == Switches()
    bring_switches(resources)
    assert await hot.run(switches.read()) == Switches(live_bidding=False)


@pytest.fixture
def resources(database_url: str, sync_hot: SyncHot) -> Iterator[Resources]:
    """What this task needs of them."""
    nothing: Any = None
    database = SyncDatabase(database_url, sync_hot)
    yield Resources(database, sync_hot, nothing, nothing, nothing)
    database.dispose()


@pytest.fixture
async def other_process(app: Application, database_url: str) -> AsyncIterator[Callable[[Client], Client]]:
    """A second REST process, with connections of its own: makes of a client one that calls it."""
    database = Database(database_url)
    services = replace(app.settings["services"], database=database)
    server = HTTPServer(Application([*ROUTES], **app.settings | {"services": services}))
    socket, _ = bind_unused_port()
    server.add_socket(socket)
    with closing(AsyncHTTPServerClient(http_server=server)) as http:
        yield lambda client: Client(http, client.user_id, client.token)
    server.stop()
    await server.close_all_connections()
    await database.dispose()


@pytest.mark.usefixtures("some_regions")
async def test_a_switch_or_table_is_live_on_all_processes_within_a_second(
    admin: Client,
    person: People,
    other_process: Callable[[Client], Client],
    sync_database: SyncDatabase,
    hot: Hot,
    redis_url: str,
) -> None:
    """Two REST processes and one for sockets. The change is made on the first."""
    anna, rates = person(funds=100_000), iter(range(1_000, 100_000, 1_000))
    with sync_database.transaction() as session:
        neighbourhoods.verify(session, anna.user_id, *YEOKSAM, 20.0)
        local = make_neighbourhood_auction(session).id
    live = (await load(hot, [anna.user_id])).auction_id
    process = await start(redis_url, "switched", Limits())
    bidder = await Live.open(process.url, anna.user_id, hot)

    async def refused_by_rest(client: Client) -> bool:
        answer = await client.call("POST", f"/auctions/{local}/bids", {"maximum": next(rates)})
        return bool(answer.status == 409 and answer.body["code"] == "switched_off")

    async def refused_on_the_socket() -> bool:
        reply = await bidder.request("bid", auction=str(live), maximum=next(rates))
        return bool(reply["type"] == "error" and reply["code"] == "switched_off")

    try:
        for off in (False, True, False):
            await put(admin, "switches", ON | {"live_bidding": not off, "neighbourhood_bidding": not off})
            for client in (anna, other_process(anna)):
                assert await refused_by_rest(client) is off
                assert (await client.get("/platform"))["switches"]["live_bidding"] is not off

            async def switched(off: bool = off) -> bool:
                return await refused_on_the_socket() is off

            await until(switched, deadline_s=1)
        tables = [{"name": "coarse", "increments": [[0, 1_000]]}]
        await put(admin, "increment-tables", {"items": tables})
        assert (await other_process(anna).get("/platform"))["increment_tables"] == tables
    finally:
        await bidder.leave()
        await stop(process)


async def test_a_live_auction_takes_no_bids_over_rest_while_that_is_off(
    admin: Client, person: People, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        live = make_published_auction(session).id
    await put(admin, "switches", ON | {"live_bidding": False})
    anna = person(funds=10_000)
    for path, body in ((f"/auctions/{live}/bids", {"maximum": 5_000}), (f"/auctions/{live}/purchase", {})):
        assert await anna.refused("POST", path, body) == "switched_off"


async def test_nobody_registers_or_publishes_while_that_is_off(
    admin: Client, guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    seller = person()
    with sync_database.transaction() as session:
        draft = listings.create(session, seller.user_id, a_draft()).id
    await put(admin, "switches", ON | {"registrations": False, "publishing": False})
    new = {"email": f"{draft}@example.org", "password": "a long password", "display_name": "New"}
    assert await guest.refused("POST", "/auth/register", new) == "switched_off"
    answer = await seller.call("POST", f"/seller/auctions/{draft}/publish")
    assert (answer.body["code"], answer.body["switch"]) == ("switched_off", "publishing")
    await put(admin, "switches", ON)
    await guest.post("/auth/register", new)
    await seller.post(f"/seller/auctions/{draft}/publish")


async def test_no_process_lets_money_in_while_that_is_off(
    admin: Client, person: People, other_process: Callable[[Client], Client]
) -> None:
    anna = person(funds=1_000)
    clients = (anna, other_process(anna))
    await put(admin, "switches", ON | {"payments": False})
    for client in clients:
        answer = await client.call("POST", "/wallet/top-ups", {"id": str(uuid4()), "amount": 500})
        assert (answer.status, answer.body["code"], answer.body["switch"]) == (
            409,
            "switched_off",
            "payments",
        )
        assert await client.get("/wallet") == {"available": 1_000, "held": 0}
    await put(admin, "switches", ON)
    for client in clients:
        await client.post("/wallet/top-ups", {"id": str(uuid4()), "amount": 500})
    assert await anna.get("/wallet") == {"available": 2_000, "held": 0}
