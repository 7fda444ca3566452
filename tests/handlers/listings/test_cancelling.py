"""Cancelling over REST: neighbourhood auctions in PostgreSQL, live ones by the script."""

from collections.abc import Callable
from uuid import UUID

import pytest

from market.bidding import hot_state, neighbourhood, paddles
from market.listings.listings import Place
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from store.database import SyncDatabase
from store.redis.auctions import (
    load_auction,
    place_bid,
    put_paddle,
    read_auction,
)
from store.redis.clients import Hot
from store.redis.records import BidRecord, SealRecord, decode_record
from tests.support.client import Client, People
from tests.support.factories import YEOKSAM, make_neighbour, make_published_auction, make_user

pytestmark = pytest.mark.usefixtures("some_regions")

REASON = {"reason": "떨어뜨려서 깨졌어요."}


async def live(seller: Client, hot: Hot, database: SyncDatabase) -> tuple[UUID, UUID]:
    """A live auction of the seller's in Redis, and somebody with a paddle."""
    with database.transaction() as session:
        auction = make_published_auction(session, seller.user_id).id
        state = hot_state.hot_state(session, auction)
        bidder, _ = make_neighbour(session, 50_000)
        paddle = paddles.take(session, bidder, auction, 20_000)
    assert state is not None
    await hot.run(load_auction(state))
    assert await hot.run(put_paddle(auction, paddles.hot(paddle))) == "written"
    return auction, bidder


def local(seller: Client, database: SyncDatabase) -> UUID:
    """A neighbourhood auction of the seller's."""
    with database.transaction() as session:
        home = neighbourhoods.verify(session, seller.user_id, *YEOKSAM, accuracy_m=10).id
        return make_published_auction(session, seller.user_id, place=Place(home, Radius.NEAR)).id


async def seal_of(hot: Hot, auction: UUID) -> SealRecord | None:
    """How the auction has ended, as its viewers know."""
    state = (await hot.run(read_auction(auction, 0))).state
    if state is None or "seal" not in state:
        return None
    seal = decode_record(state["seal"])
    assert isinstance(seal, SealRecord)
    return seal


async def test_a_seller_cancels_a_neighbourhood_auction_and_its_viewers_are_told(
    person: People, guest: Client, hot: Hot, sync_database: SyncDatabase
) -> None:
    seller = person()
    auction = local(seller, sync_database)

    answer = await seller.post(f"/seller/auctions/{auction}/cancel", REASON)

    seal = await seal_of(hot, auction)
    assert seal is not None
    assert seal.cancelled
    assert answer == {"auction_id": str(auction), "cancelled_at": seal.at}
    assert await seller.post(f"/seller/auctions/{auction}/cancel", {}) == answer
    view = await guest.get(f"/auctions/{auction}")
    assert (view["state"], view["cancel_reason"], view["buy_now"]) == ("cancelled", REASON["reason"], None)
    assert auction not in [UUID(card["id"]) for card in await guest.items("/auctions?state=live", 100)]
    buyer = person(funds=50_000)
    refused = await buyer.call("POST", f"/auctions/{auction}/bids", {"maximum": 5_000})
    assert refused.body["code"] == "cancelled"


async def test_a_seller_cancels_a_live_auction(person: People, hot: Hot, sync_database: SyncDatabase) -> None:
    seller = person()
    auction, bidder = await live(seller, hot, sync_database)

    answer = await seller.post(f"/seller/auctions/{auction}/cancel", REASON)

    seal = await seal_of(hot, auction)
    assert seal is not None
    assert answer == {"auction_id": str(auction), "cancelled_at": seal.at}
    assert await seller.post(f"/seller/auctions/{auction}/cancel", REASON) == answer
    late = await hot.run(place_bid(auction, bidder, "late", 5_000))
    assert not isinstance(late, BidRecord)
    assert late.code == "cancelled"


@pytest.mark.parametrize("kind", ["live", "local"])
async def test_after_the_first_bid_it_is_too_late(
    person: People, hot: Hot, sync_database: SyncDatabase, kind: str
) -> None:
    seller = person()
    if kind == "live":
        auction, bidder = await live(seller, hot, sync_database)
        await hot.run(place_bid(auction, bidder, "one", 5_000))
    else:
        auction = local(seller, sync_database)
        with sync_database.transaction() as session:
            bidder, _ = make_neighbour(session, 50_000)
            neighbourhood.place(session, bidder, auction, "one", 5_000)

    answer = await seller.call("POST", f"/seller/auctions/{auction}/cancel", REASON)

    assert (answer.status, answer.body["code"]) == (409, "has_bids")
    view = await seller.get(f"/auctions/{auction}")
    assert (view["state"], view["cancel_reason"]) == ("live", None)
    assert await seal_of(hot, auction) is None


async def test_while_redis_is_away_a_live_auction_goes_on_and_a_local_one_is_cancelled(
    person: People, hot: Hot, sync_database: SyncDatabase, redis_away: Callable[[], None]
) -> None:
    seller = person()
    running, _ = await live(seller, hot, sync_database)
    auction = local(seller, sync_database)
    redis_away()
    answer = await seller.call("POST", f"/seller/auctions/{running}/cancel", {})
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert await seal_of(hot, running) is None
    await seller.post(f"/seller/auctions/{auction}/cancel", {})
    assert (await seller.get(f"/auctions/{auction}"))["state"] == "cancelled"


async def test_without_hot_state_nothing_is_cancelled(person: People, sync_database: SyncDatabase) -> None:
    seller = person()
    with sync_database.transaction() as session:
        auction = make_published_auction(session, seller.user_id).id
    answer = await seller.call("POST", f"/seller/auctions/{auction}/cancel", {})
    assert (answer.status, answer.body["code"]) == (503, "unavailable")


async def test_only_your_own_published_auction_is_cancelled(
    person: People, sync_database: SyncDatabase
) -> None:
    seller = person()
    with sync_database.transaction() as session:
        other = make_published_auction(session, make_user(session)).id
    answer = await seller.call("POST", f"/seller/auctions/{other}/cancel", {})
    assert (answer.status, answer.body["code"]) == (403, "forbidden")


@pytest.mark.parametrize("reason", [1, "x" * 501, "\0"])
async def test_a_wrong_reason_is_named(person: People, sync_database: SyncDatabase, reason: object) -> None:
    seller = person()
    auction = local(seller, sync_database)
    answer = await seller.call("POST", f"/seller/auctions/{auction}/cancel", {"reason": reason})
    assert (answer.status, answer.body["code"]) == (422, "invalid_body")
    assert [error["field"] for error in answer.body["errors"]] == ["reason"]
    assert (await seller.get(f"/auctions/{auction}"))["state"] == "live"
