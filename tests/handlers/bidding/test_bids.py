"""Bids over REST: on neighbourhood auctions in PostgreSQL, on live ones by the script."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from market.bidding import hot_state, paddles
from market.bidding.refusals import BidRefusal
from market.listings.auction_views import AuctionView
from market.places import neighbourhoods
from market.rules import BuyNowUntil
from store.database import SyncDatabase
from store.models import Auction, Bid
from store.redis.auctions import load_auction, put_paddle, read_auction
from store.redis.clients import Hot, SyncHot
from store.redis.records import decode_record
from tests.support.client import Client, People
from tests.support.factories import YEOKSAM, make_neighbourhood_auction, make_published_auction

pytestmark = pytest.mark.usefixtures("some_regions")


@pytest.fixture
def auction(sync_database: SyncDatabase) -> AuctionView:
    """A neighbourhood auction."""
    with sync_database.transaction() as session:
        return make_neighbourhood_auction(session, buy_now=50_000, buy_now_until=BuyNowUntil.ALWAYS)


@pytest.fixture
def neighbour(person: People, sync_database: SyncDatabase) -> Callable[[], Client]:
    """Makes users with money who live there."""

    def make() -> Client:
        client = person(funds=100_000)
        with sync_database.transaction() as session:
            neighbourhoods.verify(session, client.user_id, *YEOKSAM, accuracy_m=10)
        return client

    return make


@pytest.fixture
async def live(hot: Hot, sync_database: SyncDatabase) -> UUID:
    """A live auction in Redis."""
    with sync_database.transaction() as session:
        view = make_published_auction(session, buy_now=50_000, buy_now_until=BuyNowUntil.ALWAYS)
        state = hot_state.hot_state(session, view.id)
    assert state is not None
    await hot.run(load_auction(state))
    return view.id


async def with_paddle(client: Client, hot: Hot, database: SyncDatabase, auction: UUID) -> Client:
    with database.transaction() as session:
        paddle = paddles.take(session, client.user_id, auction, 60_000)
    assert await hot.run(put_paddle(auction, paddles.hot(paddle))) == "written"
    return client


async def test_a_neighbour_bids_and_the_viewers_copy_follows(
    neighbour: Callable[[], Client], auction: AuctionView, hot: Hot
) -> None:
    ann, path = neighbour(), f"/auctions/{auction.id}/bids"

    placed = await ann.post(path, {"maximum": 4_000})

    assert (placed["price"], placed["leading"], placed["own_maximum"], placed["seq"]) == (
        1_000,
        True,
        4_000,
        1,
    )
    assert placed["buy_now"] == 50_000
    assert await ann.get("/wallet") == {"available": 96_000, "held": 4_000}
    reading = await hot.run(read_auction(auction.id, 0))
    assert [decode_record(text).seq for text in reading.records] == [1]
    [own] = await ann.items("/buyer/bids", 10)
    assert (own["standing"], own["own_maximum"], own["price"]) == ("leading", 4_000, 1_000)
    await neighbour().post(path, {"maximum": 6_000})
    [own] = await ann.items("/buyer/bids", 10)
    assert (own["standing"], own["price"]) == ("outbid", 4_100)
    assert (await ann.get(f"/auctions/{auction.id}"))["price"] == 4_100


async def test_while_redis_is_away_a_neighbour_bids_all_the_same(
    neighbour: Callable[[], Client], auction: AuctionView, redis_away: Callable[[], None]
) -> None:
    ann = neighbour()
    redis_away()
    assert (await ann.post(f"/auctions/{auction.id}/bids", {"maximum": 4_000}))["leading"]


async def test_buying_at_once_makes_an_order(neighbour: Callable[[], Client], auction: AuctionView) -> None:
    ann, ben = neighbour(), neighbour()
    bought = await ann.post(f"/auctions/{auction.id}/purchase")
    assert (bought["price"], bought["bought"], bought["buy_now"]) == (50_000, True, None)
    [order] = await ann.items("/buyer/orders", 10)
    assert (order["auction_id"], order["hammer_price"]) == (str(auction.id), 50_000)
    assert await ben.refused("POST", f"/auctions/{auction.id}/bids", {"maximum": 90_000}) == "closed"
    [own] = await ann.items("/buyer/bids", 10)
    assert own["standing"] == "won"


async def test_both_sides_are_pushed_what_was_bought(
    neighbour: Callable[[], Client], auction: AuctionView, sync_hot: SyncHot
) -> None:
    ann = neighbour()
    wanted = {f"user:{user}".encode() for user in (ann.user_id, auction.seller_id)}
    heard = sync_hot.client.pubsub()
    heard.ssubscribe(*wanted)
    await ann.post(f"/auctions/{auction.id}/purchase")
    while wanted:
        message = heard.get_sharded_message(timeout=10)
        assert message is not None, wanted
        if message["type"] == "smessage":
            assert b'"action":"sell","state":"in_escrow"' in message["data"]
            wanted.discard(message["channel"])
    heard.close()


async def test_an_alarm_at_a_purchase_is_heard_and_the_purchase_answered(
    neighbour: Callable[[], Client], auction: AuctionView, sync_database: SyncDatabase
) -> None:
    ann, ben = neighbour(), neighbour()
    await ann.post(f"/auctions/{auction.id}/bids", {"maximum": 4_000})
    with sync_database.transaction() as session:
        # One more than is stored: a fault that no door can make.
        session.execute(update(Auction).where(Auction.id == auction.id).values(bids=2, seq=2))
    with capture_logs() as logs:
        bought = await ben.post(f"/auctions/{auction.id}/purchase")
    assert bought["bought"]
    [alarm] = [event for event in logs if event["event"] == "auction_alarm"]
    assert (alarm["reason"], alarm["auction"]) == ("bids_missing", str(auction.id))


@pytest.mark.parametrize("kind", ["neighbourhood", "live"])
async def test_the_same_key_is_the_same_bid(
    neighbour: Callable[[], Client],
    auction: AuctionView,
    live: UUID,
    hot: Hot,
    sync_database: SyncDatabase,
    kind: str,
) -> None:
    ann, target = neighbour(), auction.id
    if kind == "live":
        await with_paddle(ann, hot, sync_database, live)
        target = live
    path, headers = f"/auctions/{target}/bids", {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(
        *(ann.call("POST", path, {"maximum": 4_000}, headers=headers) for _ in range(5))
    )
    assert {answer.status for answer in answers} == {201}
    assert all(answer.body == answers[0].body for answer in answers)
    assert answers[0].body["bids"] == 1
    assert (await ann.call("POST", path, {"maximum": 4_001}, headers=headers)).body["code"] == (
        "idempotency_key_reused"
    )
    purchase = f"/auctions/{target}/purchase"
    assert (await ann.call("POST", purchase, headers=headers)).body["code"] == "idempotency_key_reused"
    again = await ann.post(path, {"maximum": 5_000})
    assert again["bids"] == 2, "without a key every bid is a new one"


async def test_a_live_auction_takes_bids_here_as_on_the_socket(
    person: People, live: UUID, hot: Hot, sync_database: SyncDatabase
) -> None:
    ann, path = person(funds=100_000), f"/auctions/{live}/bids"
    assert await ann.refused("POST", path, {"maximum": 4_000}) == "no_paddle"
    await with_paddle(ann, hot, sync_database, live)
    placed = await ann.post(path, {"maximum": 4_000})
    assert (placed["price"], placed["leading"]) == (1_000, True)
    refused = await ann.call("POST", path, {"maximum": 4_000})
    assert (refused.body["code"], refused.body["price"]) == ("not_above_own_maximum", 1_000)
    assert await ann.refused("POST", path, {"maximum": 60_001}) == "over_limit"
    bought = await ann.post(f"/auctions/{live}/purchase")
    assert (bought["bought"], bought["price"]) == (True, 50_000)


async def test_a_live_auction_that_redis_does_not_have_is_unavailable(
    person: People, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        unloaded = make_published_auction(session).id
    code = await person().refused("POST", f"/auctions/{unloaded}/bids", {"maximum": 4_000})
    assert code == "unavailable"


async def test_a_refused_bid_changes_nothing(
    person: People, neighbour: Callable[[], Client], auction: AuctionView, sync_database: SyncDatabase
) -> None:
    path = f"/auctions/{auction.id}/bids"
    stranger, ann = person(funds=100_000), neighbour()
    assert await stranger.refused("POST", path, {"maximum": 4_000}) == "not_a_neighbour"
    low = await ann.call("POST", path, {"maximum": 999})
    assert (low.body["code"], low.body["next_minimum"]) == ("below_minimum", 1_000)
    assert low.body["detail"] == BidRefusal.BELOW_MINIMUM.detail
    assert await ann.refused("POST", path, {"maximum": 100_001}) == "insufficient_funds"
    assert await ann.refused("POST", f"/auctions/{uuid4()}/bids", {"maximum": 1}) == "not_found"
    with sync_database.transaction() as session:
        assert session.scalars(select(Bid).where(Bid.auction_id == auction.id)).all() == []
    assert await ann.get("/wallet") == {"available": 100_000, "held": 0}
