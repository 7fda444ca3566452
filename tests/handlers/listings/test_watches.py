"""The watch list over HTTP."""

from uuid import uuid4

from market.bidding import hot_state, paddles
from store.database import SyncDatabase
from store.redis.auctions import load_auction, place_bid
from store.redis.clients import Hot
from tests.support.client import CARD, Client, People
from tests.support.factories import make_funded_user, make_published_auction


async def test_what_is_watched_is_listed_as_cards_with_the_prices_of_the_moment(
    guest: Client, person: People, sync_database: SyncDatabase, hot: Hot
) -> None:
    ann = person()
    with sync_database.transaction() as session:
        quiet, bidden = make_published_auction(session).id, make_published_auction(session).id
        bidder = make_funded_user(session, 10_000)
        paddles.take(session, bidder, bidden, 9_000)
        state = hot_state.hot_state(session, bidden)
    assert state is not None
    await hot.run(load_auction(state))
    await hot.run(place_bid(bidden, bidder, "a", 5_000))
    for auction in (quiet, bidden, bidden):
        assert (await ann.call("PUT", f"/me/watches/{auction}")).status == 204
    cards = await ann.items("/me/watches", 1)
    assert [card["id"] for card in cards] == [str(bidden), str(quiet)]
    assert all(set(card) == CARD for card in cards)
    assert [card["price"] for card in cards] == [1_000, None]

    assert (await ann.call("DELETE", f"/me/watches/{bidden}")).status == 204
    assert (await ann.call("DELETE", f"/me/watches/{bidden}")).status == 204
    assert [card["id"] for card in await ann.items("/me/watches", 1)] == [str(quiet)]


async def test_an_auction_says_how_many_watch_it_and_whether_the_viewer_does(
    guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    ann, ben = person(), person()
    with sync_database.transaction() as session:
        path = f"/auctions/{make_published_auction(session).id}"
    await ann.done("PUT", path.replace("/auctions", "/me/watches"))
    for client, watched in ((ann, True), (ben, False), (guest, False)):
        seen = await client.get(path)
        assert (seen["watchers"], seen["watched"]) == (1, watched)


async def test_what_is_not_there_is_not_watched(person: People) -> None:
    ann = person()
    assert await ann.refused("PUT", f"/me/watches/{uuid4()}") == "not_found"
    assert await ann.refused("GET", "/me/watches?cursor=x") == "invalid_cursor"
    assert await ann.refused("GET", "/me/watches?state=live") == "invalid_query"
