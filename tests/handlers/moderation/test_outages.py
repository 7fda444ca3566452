"""What those with a role do to auctions that run: extend what an outage touched, and cancel whatever was bid."""

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import update

from market.bidding import hot_state, neighbourhood, paddles
from market.money import wallet
from market.times import from_ms, to_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, Role
from store.redis.auctions import (
    load_auction,
    place_bid,
    put_paddle,
    read_auction,
    seal_auction,
)
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.records import BidRecord
from tests.support.client import Client, People
from tests.support.factories import (
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
)

pytestmark = pytest.mark.usefixtures("some_regions")

DAY_MS = 24 * 3_600_000

REASON = {"reason": "Forbidden goods."}


@pytest.fixture
def admin(person: People) -> Client:
    return person(role=Role.ADMIN)


async def noted(admin: Client, subject: object) -> list[tuple[str, str]]:
    """Action and reason of what the audit log has about something, the oldest first."""
    entries = await admin.items(f"/admin/audit?subject={subject}", 10)
    return [(entry["action"], entry["reason"]) for entry in reversed(entries)]


async def running(hot: Hot, database: SyncDatabase, ago_ms: int) -> tuple[UUID, UUID, int]:
    """A live auction in Redis and a neighbourhood auction, both published `ago_ms` ago, and that moment."""
    at = await hot.now_ms() - ago_ms
    with database.transaction() as session:
        live = make_published_auction(session).id
        local = make_neighbourhood_auction(session).id
        session.execute(
            update(Auction)
            .where(Auction.id.in_([live, local]))
            .values(published_at=from_ms(at), opens_at=from_ms(at))
        )
        state = hot_state.hot_state(session, live)
    assert state is not None
    await hot.run(load_auction(state))
    return live, local, at


async def ends(hot: Hot, auction: UUID) -> int:
    """When it ends, as its viewers know."""
    state = (await hot.run(read_auction(auction, 0))).state
    assert state is not None
    return int(state["ends_at"])


async def test_one_action_extends_both_kinds_and_repeated_none_twice(
    admin: Client, hot: Hot, sync_database: SyncDatabase
) -> None:
    # Nothing of other tests ran so long ago.
    live, local, at = await running(hot, sync_database, 20 * DAY_MS)
    unloaded, other, _ = await running(hot, sync_database, 20 * DAY_MS)
    await hot.client.delete(keys_of(unloaded).auction)
    with sync_database.transaction() as session:
        planned = to_ms(session.get_one(Auction, local).ends_at)
    before = await ends(hot, live)
    action = str(new_id())
    body = {"action": action, "began_at": at, "ended_at": at + 3_600_000, "by_ms": 5_000} | REASON

    answer = await admin.post("/admin/outages", body)

    assert (answer["action"], answer["unreached"]) == (action, [str(unloaded)])
    assert set(answer["extended"]) == {str(live), str(local), str(other)}
    assert await ends(hot, live) == before + 5_000
    assert await ends(hot, local) == planned + 5_000
    assert (await admin.get(f"/auctions/{local}"))["ends_at"] == planned + 5_000
    again = await admin.post("/admin/outages", body)
    assert (again["extended"], again["unreached"]) == ([], [str(unloaded)])
    assert await ends(hot, live) == before + 5_000
    longer = body | {"by_ms": 6_000}
    assert await admin.refused("POST", "/admin/outages", longer) == "idempotency_key_reused"
    third = await admin.post("/admin/outages", body | {"action": str(new_id())})
    assert set(third["extended"]) == {str(live), str(local), str(other)}
    assert await noted(admin, action) == [("extend", REASON["reason"])] * 2


async def test_what_redis_did_not_hear_is_said(
    admin: Client, hot: Hot, sync_database: SyncDatabase, redis_away: Callable[[], None]
) -> None:
    live, local, at = await running(hot, sync_database, 25 * DAY_MS)
    body = {"action": str(new_id()), "began_at": at, "ended_at": at, "by_ms": 5_000} | REASON
    redis_away()
    answer = await admin.post("/admin/outages", body)
    assert (answer["extended"], answer["unreached"]) == ([str(local)], [str(live)])


async def test_an_impossible_outage_extends_nothing(admin: Client, hot: Hot) -> None:
    now = await hot.now_ms()
    body = {"action": str(new_id()), "began_at": now, "ended_at": now - 1, "by_ms": 5_000} | REASON
    assert await admin.refused("POST", "/admin/outages", body) == "invalid_time"
    assert await noted(admin, body["action"]) == []


async def test_by_force_a_live_auction_with_bids_is_cancelled_until_its_hammer_falls(
    admin: Client, hot: Hot, sync_database: SyncDatabase
) -> None:
    live, _, _ = await running(hot, sync_database, DAY_MS)
    with sync_database.transaction() as session:
        bidder = make_funded_user(session, 50_000)
        paddle = paddles.take(session, bidder, live, 20_000)
    await hot.run(put_paddle(live, paddles.hot(paddle)))
    first = await hot.run(place_bid(live, bidder, "one", 5_000))
    assert isinstance(first, BidRecord)

    answer = await admin.post(f"/admin/auctions/{live}/cancel", REASON)

    assert await admin.post(f"/admin/auctions/{live}/cancel", REASON) == answer
    late = await hot.run(place_bid(live, bidder, "two", 6_000))
    assert not isinstance(late, BidRecord)
    assert late.code == "cancelled"
    sold, _, _ = await running(hot, sync_database, DAY_MS)
    await hot.client.hset(keys_of(sold).auction, "ends_at", 1)
    await hot.run(seal_auction(sold))
    assert await admin.refused("POST", f"/admin/auctions/{sold}/cancel", REASON) == "closed"


async def test_by_force_a_neighbourhood_auction_with_bids_is_cancelled(
    admin: Client, hot: Hot, sync_database: SyncDatabase
) -> None:
    _, local, _ = await running(hot, sync_database, DAY_MS)
    with sync_database.transaction() as session:
        bidder, _ = make_neighbour(session, 50_000)
        neighbourhood.place(session, bidder, local, "one", 5_000)

    answer = await admin.post(f"/admin/auctions/{local}/cancel", REASON)

    assert await admin.post(f"/admin/auctions/{local}/cancel", REASON) == answer
    assert (await admin.get(f"/auctions/{local}"))["cancel_reason"] == "Forbidden goods."
    assert await noted(admin, local) == [("cancel", REASON["reason"])]
    state = (await hot.run(read_auction(local, 0))).state
    assert state is not None
    assert '"cancelled":true' in state["seal"]
    with sync_database.transaction() as session:
        assert wallet.view(session, bidder).available == 50_000
