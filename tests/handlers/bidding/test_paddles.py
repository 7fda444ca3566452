from asyncio import gather
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from market.bidding import hot_state
from market.listings import listings
from market.money import ledger
from store.database import Database, SyncDatabase
from store.models import Auction, AuctionStatus, Paddle
from store.redis.auctions import load_auction, place_bid
from store.redis.clients import Hot
from store.redis.records import BidRecord, Rejection
from store.redis.tickets import take_ticket
from tests.support.client import Client, People
from tests.support.factories import a_draft, make_published_auction

PADDLE = {"auction_id", "bidder_id", "number", "limit", "status", "version", "hold"}


@pytest.fixture
def seller(person: People) -> Client:
    return person()


@pytest.fixture
def unloaded(seller: Client, sync_database: SyncDatabase) -> UUID:
    """An auction in PostgreSQL that Redis does not know."""
    with sync_database.transaction() as session:
        return make_published_auction(session, seller.user_id).id


@pytest.fixture
async def auction(unloaded: UUID, hot: Hot, sync_database: SyncDatabase) -> UUID:
    """A live auction."""
    with sync_database.transaction() as session:
        state = hot_state.hot_state(session, unloaded)
    assert state is not None
    await hot.run(load_auction(state))
    return unloaded


async def bid(hot: Hot, auction: UUID, buyer: Client, maximum: int) -> str:
    """Bid as the realtime processes do: "accepted" or the code of the rejection."""
    answer: BidRecord | Rejection = await hot.run(place_bid(auction, buyer.user_id, uuid4().hex, maximum))
    return answer.code if isinstance(answer, Rejection) else "accepted"


def stored(database: SyncDatabase, auction: UUID, buyer: Client) -> tuple[str, int, int]:
    """Status, version and confirmed version of a paddle in PostgreSQL, where the ledger must balance."""
    with database.transaction() as session:
        assert ledger.trial_balance(session) == 0
        paddle = session.scalars(
            select(Paddle).where(Paddle.auction_id == auction, Paddle.bidder_id == buyer.user_id)
        ).one()
        return paddle.status, paddle.version, paddle.synced_version


async def test_a_paddle_holds_the_limit_and_lets_its_owner_bid(
    person: People, auction: UUID, hot: Hot, sync_database: SyncDatabase
) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    assert await buyer.refused("GET", path) == "no_paddle"
    assert await bid(hot, auction, buyer, 2_000) == "no_paddle"

    answer = await buyer.call("POST", path, {"limit": 6_000})

    assert (answer.status, answer.headers["Location"]) == (201, f"/api/v1{path}")
    paddle = answer.body
    assert set(paddle) == PADDLE
    assert (paddle["number"], paddle["limit"], paddle["hold"]) == (1, 6_000, 6_000)
    assert (paddle["status"], paddle["bidder_id"]) == ("active", str(buyer.user_id))
    assert await buyer.get(path) == paddle
    assert await buyer.get("/wallet") == {"available": 4_000, "held": 6_000}
    assert stored(sync_database, auction, buyer) == ("active", 1, 1)
    assert await bid(hot, auction, buyer, 6_001) == "over_limit"
    assert await bid(hot, auction, buyer, 6_000) == "accepted"


async def test_the_same_paddle_is_taken_once(person: People, auction: UUID) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    paddles = await gather(*(buyer.post(path, {"limit": 6_000}) for _ in range(5)))
    assert all(paddle == paddles[0] for paddle in paddles)
    assert await buyer.get("/wallet") == {"available": 4_000, "held": 6_000}
    answer = await buyer.call("POST", path, {"limit": 6_001})
    assert (answer.body["code"], answer.body["limit"]) == ("paddle_taken", 6_000)


async def test_paddles_belong_to_their_owners(person: People, auction: UUID) -> None:
    ann, bob, path = person(funds=5_000), person(funds=5_000), f"/auctions/{auction}/paddle"
    await ann.post(path, {"limit": 5_000})
    assert await bob.refused("GET", path) == "no_paddle"
    assert await bob.refused("PATCH", path, {"limit": 5_000}, version=1) == "no_paddle"
    assert await bob.refused("DELETE", path) == "no_paddle"
    assert (await bob.post(path, {"limit": 5_000}))["number"] == 2
    assert (await ann.get(path))["number"] == 1


async def test_a_paddle_needs_the_money(person: People, auction: UUID) -> None:
    buyer = person(funds=999)
    answer = await buyer.call("POST", f"/auctions/{auction}/paddle", {"limit": 1_000})
    assert (answer.body["code"], answer.body["missing"]) == ("insufficient_funds", 1)
    assert await buyer.refused("GET", f"/auctions/{auction}/paddle") == "no_paddle"
    assert await buyer.get("/wallet") == {"available": 999, "held": 0}


async def test_sellers_take_no_paddle_in_their_own_auction(seller: Client, auction: UUID) -> None:
    assert await seller.refused("POST", f"/auctions/{auction}/paddle", {"limit": 1_000}) == "own_auction"


async def test_there_is_no_paddle_for_a_draft_or_for_no_auction(
    person: People, seller: Client, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        draft = listings.create(session, seller.user_id, a_draft())
    for auction in (draft.id, uuid4()):
        code = await person(funds=5_000).refused("POST", f"/auctions/{auction}/paddle", {"limit": 1_000})
        assert code == "not_found"
        code = await person(funds=5_000).refused(
            "PATCH", f"/auctions/{auction}/paddle", {"limit": 1_000}, version=1
        )
        assert code in ("not_found", "no_paddle")


async def test_after_the_hammer_paddles_stay_as_they_are(
    person: People, auction: UUID, sync_database: SyncDatabase
) -> None:
    early, late, path = person(funds=5_000), person(funds=5_000), f"/auctions/{auction}/paddle"
    await early.post(path, {"limit": 1_000})
    with sync_database.transaction() as session:
        session.execute(update(Auction).where(Auction.id == auction).values(status=AuctionStatus.SEALED))
    assert await late.refused("POST", path, {"limit": 1_000}) == "closed"
    assert await early.refused("PATCH", path, {"limit": 2_000}, version=1) == "closed"
    assert await early.refused("DELETE", path) == "closed"
    assert await early.get("/wallet") == {"available": 4_000, "held": 1_000}


async def test_a_limit_is_raised_while_its_owner_bids(person: People, auction: UUID, hot: Hot) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 2_000})
    assert await bid(hot, auction, buyer, 2_000) == "accepted"
    for limit, code in (
        (2_000, "limit_not_raised"),
        (1_999, "limit_not_raised"),
        (10_001, "insufficient_funds"),
    ):
        assert await buyer.refused("PATCH", path, {"limit": limit}, version=1) == code
    assert await bid(hot, auction, buyer, 2_001) == "over_limit"

    paddle = await buyer.done("PATCH", path, {"limit": 10_000}, version=1)

    assert set(paddle) == PADDLE
    assert (paddle["number"], paddle["limit"]) == (1, 10_000)
    assert await buyer.get("/wallet") == {"available": 0, "held": 10_000}
    assert await bid(hot, auction, buyer, 10_000) == "accepted"


async def test_a_paddle_given_back_bids_no_more_and_frees_its_money(
    person: People, auction: UUID, hot: Hot, sync_database: SyncDatabase
) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 6_000})
    for _ in range(2):  # again, because the first answer may be lost
        answer = await buyer.call("DELETE", path)
        assert (answer.status, answer.body["status"], answer.body["hold"]) == (200, "returned", 0)
    assert await bid(hot, auction, buyer, 2_000) == "no_paddle"
    assert await buyer.get("/wallet") == {"available": 10_000, "held": 0}
    assert await buyer.refused("PATCH", path, {"limit": 7_000}, version=2) == "no_paddle"

    again = await buyer.post(path, {"limit": 3_000})

    assert (again["number"], again["status"], again["limit"]) == (1, "active", 3_000)
    assert await buyer.get("/wallet") == {"available": 7_000, "held": 3_000}
    assert await bid(hot, auction, buyer, 3_000) == "accepted"
    assert stored(sync_database, auction, buyer) == ("active", 3, 3)


async def test_the_leader_keeps_the_paddle_until_outbid(
    person: People, auction: UUID, hot: Hot, sync_database: SyncDatabase
) -> None:
    leader, rival, path = person(funds=10_000), person(funds=10_000), f"/auctions/{auction}/paddle"
    for buyer in (leader, rival):
        await buyer.post(path, {"limit": 6_000})
    assert await bid(hot, auction, leader, 2_000) == "accepted"
    assert await leader.refused("DELETE", path) == "paddle_leading"
    assert stored(sync_database, auction, leader) == ("active", 3, 3)
    assert await leader.get("/wallet") == {"available": 4_000, "held": 6_000}
    assert await bid(hot, auction, leader, 3_000) == "accepted"
    codes = await gather(*(leader.refused("DELETE", path) for _ in range(4)))
    assert set(codes) <= {"paddle_leading", "paddle_changed"}
    assert await bid(hot, auction, leader, 3_500) == "accepted"

    assert await bid(hot, auction, rival, 6_000) == "accepted"

    assert (await leader.done("DELETE", path))["status"] == "returned"
    assert await leader.get("/wallet") == {"available": 10_000, "held": 0}


async def test_giving_back_five_times_at_once_frees_the_money_once(person: People, auction: UUID) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 6_000})
    answers = await gather(*(buyer.call("DELETE", path) for _ in range(5)))
    assert {answer.status for answer in answers} <= {200, 202}
    assert (await buyer.get(path))["status"] == "returned"
    assert await buyer.get("/wallet") == {"available": 10_000, "held": 0}


async def test_without_redis_a_paddle_is_taken_and_left_to_the_sweep(
    person: People, auction: UUID, hot: Hot, redis_away: Callable[[], None], sync_database: SyncDatabase
) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    redis_away()
    assert (await buyer.post(path, {"limit": 6_000}))["status"] == "active"
    assert stored(sync_database, auction, buyer) == ("active", 1, 0)
    assert await bid(hot, auction, buyer, 2_000) == "no_paddle"
    await buyer.done("PATCH", path, {"limit": 7_000}, version=1)
    assert stored(sync_database, auction, buyer) == ("active", 2, 0)


async def test_without_redis_money_stays_held_until_the_paddle_is_refused_for_sure(
    person: People,
    auction: UUID,
    hot: Hot,
    redis_away: Callable[[], None],
    telling_database: Database,
    change_services: Callable[..., None],
    sync_database: SyncDatabase,
) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 6_000})
    redis_away()
    answer = await buyer.call("DELETE", path)
    assert (answer.status, answer.body["status"]) == (202, "returning")
    assert await buyer.get("/wallet") == {"available": 4_000, "held": 6_000}
    assert await buyer.refused("POST", path, {"limit": 6_000}) == "paddle_returning"
    assert await bid(hot, auction, buyer, 2_000) == "accepted"
    change_services(hot=hot, database=telling_database)
    assert await buyer.refused("DELETE", path) == "paddle_leading"
    assert stored(sync_database, auction, buyer)[0] == "active"


async def test_an_auction_that_redis_does_not_know_frees_no_money_yet(
    person: People, unloaded: UUID, sync_database: SyncDatabase
) -> None:
    buyer, path = person(funds=10_000), f"/auctions/{unloaded}/paddle"
    await buyer.post(path, {"limit": 6_000})
    assert stored(sync_database, unloaded, buyer) == ("active", 1, 0)
    answer = await buyer.call("DELETE", path)
    assert (answer.status, answer.body["status"]) == (202, "returning")
    assert await buyer.get("/wallet") == {"available": 4_000, "held": 6_000}


async def test_a_ticket_admits_its_user_once(person: People, hot: Hot) -> None:
    buyer = person()
    answer = await buyer.call("POST", "/ws-tickets")
    assert answer.status == 201
    assert set(answer.body) == {"ticket", "expires_in_ms"}
    assert answer.body["expires_in_ms"] == 30_000
    admitted = await hot.run(take_ticket(answer.body["ticket"]))
    assert admitted is not None
    assert admitted.user == buyer.user_id
    assert await hot.run(take_ticket(answer.body["ticket"])) is None


async def test_there_is_no_ticket_without_redis(person: People, redis_away: Callable[[], None]) -> None:
    redis_away()
    assert await person().refused("POST", "/ws-tickets") == "unavailable"
