"""The list of auctions: searched over HTTP, with what Redis knows, in few statements."""

import asyncio
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from market.bidding import hot_state, paddles
from market.listings import questions, watches
from market.places import neighbourhoods
from store.database import SyncDatabase
from store.models import Photo, PhotoStatus
from store.redis.auctions import (
    HotPaddle,
    load_auction,
    place_bid,
    put_paddle,
)
from store.redis.clients import Hot
from store.redis.glances import share_viewers
from tests.support.client import CARD, Client, People
from tests.support.database import statements
from tests.support.factories import (
    NOBODYS_ID,
    YEOKSAM,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)

pytestmark = pytest.mark.usefixtures("some_regions", "all_categories")

PAGE = 50


async def find(client: Client, **query: Any) -> list[dict[str, Any]]:
    return await client.items(f"/auctions?{urlencode(query)}", 2)


async def test_a_guest_searches_in_korean_and_english(guest: Client, sync_database: SyncDatabase) -> None:
    mark = uuid4().hex
    with sync_database.transaction() as session:
        seller = make_user(session, "Mina")
        bike = make_published_auction(
            session, seller, title=f"접이식자전거 {mark}", category="bicycles", condition="good"
        )
        tent = make_published_auction(session, seller, title=f"Family tent {mark}", category="camping")
    for query, found in (
        ({"q": mark}, [tent, bike]),
        ({"q": f"자전거 {mark}"}, [bike]),
        ({"q": f"TENT {mark}"}, [tent]),
        ({"q": mark, "category": "sports", "condition": "good", "sort": "price_low"}, [bike]),
        ({"q": mark, "category": "digital"}, []),
        ({"seller": seller, "state": "live", "kind": "live", "sort": "ending_soon"}, [bike, tent]),
    ):
        cards = await find(guest, **query)
        assert [card["id"] for card in cards] == [str(auction.id) for auction in found]
        assert all(set(card) == CARD for card in cards)
    answer = await guest.get(f"/auctions?q={mark}&facets=true&limit=1")
    assert set(answer) == {"items", "next_cursor", "facets"}
    assert answer["facets"]["category"] == [
        {"value": "bicycles", "count": 1},
        {"value": "camping", "count": 1},
    ]
    assert answer["facets"]["complete"] is True


async def test_neighbours_search_around_themselves(person: People, sync_database: SyncDatabase) -> None:
    buyer = person()
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        home = neighbourhoods.verify(session, buyer.user_id, *YEOKSAM, accuracy_m=10).id
    [card] = await find(buyer, seller=auction.seller_id, neighbourhood_id=home, radius="near")
    assert (card["distance"], card["region_code"]) == ("same", "11680101")
    assert "cell" not in card


async def test_prices_and_viewers_of_live_auctions_are_those_of_the_moment(
    guest: Client, sync_database: SyncDatabase, hot: Hot
) -> None:
    with sync_database.transaction() as session:
        seller, bidder = make_user(session), make_funded_user(session, 10_000)
        auction = make_published_auction(session, seller)
        quiet = make_published_auction(session, seller)
        number = paddles.take(session, bidder, auction.id, 9_000).number
        states = [hot_state.hot_state(session, shown.id) for shown in (auction, quiet)]
    for state in states:
        assert state is not None
        await hot.run(load_auction(state))
    await hot.run(put_paddle(auction.id, HotPaddle(bidder, number, 9_000, 2)))
    await hot.run(place_bid(auction.id, bidder, "a", 5_000))
    await hot.run(share_viewers("one", {auction.id: 2, quiet.id: 0}, await hot.now_ms()))
    await hot.run(share_viewers("two", {auction.id: 3}, await hot.now_ms()))
    await hot.run(share_viewers("gone", {auction.id: 9}, 0))
    second, first = await find(guest, seller=seller)
    assert (first["price"], first["next_minimum"], first["bids"], first["viewers"]) == (1_000, 1_100, 1, 5)
    assert (second["price"], second["next_minimum"], second["bids"], second["viewers"]) == (None, 1_000, 0, 0)
    assert (await guest.get(f"/auctions/{auction.id}"))["bids"] == 0


async def test_a_page_asks_redis_once(
    guest: Client, sync_database: SyncDatabase, hot: Hot, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sync_database.transaction() as session:
        seller = make_user(session)
        for _ in range(5):
            make_published_auction(session, seller)
    trips = []
    pipeline = hot.client.pipeline

    def counted(*args: Any, **kwargs: Any) -> Any:
        trips.append(1)
        return pipeline(*args, **kwargs)

    monkeypatch.setattr(hot.client, "pipeline", counted)
    assert len((await guest.get(f"/auctions?seller={seller}"))["items"]) == 5
    assert len(trips) == 1


async def test_without_redis_the_prices_are_those_of_postgresql(
    guest: Client, sync_database: SyncDatabase, redis_away: Any
) -> None:
    with sync_database.transaction() as session:
        auction = make_published_auction(session)
    redis_away()
    with capture_logs() as logs:
        [card] = await find(guest, seller=auction.seller_id)
    assert (card["price"], card["next_minimum"], card["viewers"]) == (None, 1_000, None)
    assert "prices_not_live" in [event["event"] for event in logs]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("q=", "q"),
        ("q=%20", "q"),
        ("q=%00", "q"),
        ("q=!!!", "q"),
        ("q=" + "x" * 101, "q"),
        ("category=no-such", "category"),
        ("category=Sports", "category"),
        ("category=", "category"),
        ("region=99", "region"),
        ("region=seoul", "region"),
        ("radius=near", "neighbourhood_id"),
        ("radius=5", "radius"),
        (f"neighbourhood_id={NOBODYS_ID}", "radius"),
        ("neighbourhood_id=1", "neighbourhood_id"),
        (f"neighbourhood_id={NOBODYS_ID}&radius=near&region=11", "region"),
        ("min_price=0", "min_price"),
        ("min_price=-1", "min_price"),
        ("min_price=1.5", "min_price"),
        ("max_price=9007199254740992", "max_price"),
        ("max_price=cheap", "max_price"),
        ("min_price=2&max_price=1", "min_price"),
        ("condition=broken", "condition"),
        ("delivery=drone", "delivery"),
        ("kind=auction", "kind"),
        ("kind=live&region=11", "kind"),
        ("state=draft", "state"),
        ("state=sold", "state"),
        ("state=LIVE", "state"),
        ("state=", "state"),
        ("seller=me", "seller"),
        ("sort=relevance", "sort"),
        ("sort=ending_soon&state=closed", "sort"),
        ("facets=1", "facets"),
        ("page=2", "page"),
    ],
)
async def test_a_wrong_search_names_the_parameter(person: People, query: str, field: str) -> None:
    answer = await person().call("GET", f"/auctions?{query}")
    assert answer.body["code"] == "invalid_query"
    assert [error["field"] for error in answer.body["errors"]] == [field]


async def test_a_radius_is_for_neighbours(guest: Client, person: People, sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        _, home = make_neighbour(session)
    path = f"/auctions?neighbourhood_id={home}&radius=near"
    assert await guest.refused("GET", path) == "unauthenticated"
    assert await person().refused("GET", path) == "not_a_neighbour"


async def test_a_cursor_of_another_search_is_refused(guest: Client, sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        seller = make_user(session)
        for _ in range(2):
            make_published_auction(session, seller)
    cursor = quote((await guest.get(f"/auctions?seller={seller}&limit=1"))["next_cursor"])
    same = f"/auctions?limit=5&seller={seller}&cursor={cursor}"
    assert len((await guest.get(same))["items"]) == 1
    for other in (f"{same}&sort=most_bids", f"{same}&q=bicycle", f"/auctions?cursor={cursor}"):
        assert await guest.refused("GET", other) == "invalid_cursor"


@pytest.mark.parametrize(
    ("path", "as_guest", "as_neighbour"),
    [
        ("/auctions?seller={seller}", 2, 3),
        ("/auctions?seller={seller}&facets=true", 3, 4),
        ("/auctions?seller={seller}&delivery=shipping&facets=true", 3, 4),
        ("/auctions?seller={seller}&q=bicycle&category=other&facets=true&sort=most_bids", 3, 4),
        ("/auctions?neighbourhood_id={home}&radius=wide&facets=true", 0, 4),
        ("/auctions/{auction}", 3, 4),
        ("/auctions/{local}", 3, 4),
        ("/auctions/{auction}/bids", 2, 2),
        ("/auctions/{auction}/prices", 2, 2),
        ("/auctions/{auction}/questions", 2, 2),
        ("/categories", 1, 1),
        ("/regions", 1, 1),
        ("/seller/auctions", 0, 2),
        ("/seller/questions?unanswered=true", 0, 2),
        ("/buyer/bids", 0, 2),
        ("/me/watches", 0, 3),
    ],
)
async def test_a_page_takes_few_statements_however_much_is_on_it(
    guest: Client, person: People, sync_database: SyncDatabase, path: str, as_guest: int, as_neighbour: int
) -> None:
    neighbour = person()
    with sync_database.transaction() as session:
        home = neighbourhoods.verify(session, neighbour.user_id, *YEOKSAM, accuracy_m=10).id
        local = make_neighbourhood_auction(session).id

    async def count(client: Client) -> int:
        address = path.format(seller=neighbour.user_id, auction=auction, local=local, home=home)
        with statements() as seen:
            answer = await client.call("GET", f"{address}{'&' if '?' in address else '?'}limit={PAGE}")
        assert (answer.status == 200) is (client is neighbour or as_guest > 0)
        return len(seen)

    for made in (1, PAGE):
        with sync_database.transaction() as session:
            for _ in range(made):
                auction = make_published_auction(session, neighbour.user_id).id
                add_photo(session, auction, neighbour.user_id)
                watches.put(session, neighbour.user_id, auction)
                questions.ask(session, make_user(session), auction, "Is it still there?")
        if as_guest:
            assert await count(guest) == as_guest
        assert await count(neighbour) == as_neighbour <= 4


def add_photo(session: Any, auction: UUID, owner: UUID) -> None:
    fields = {"size": 1, "width": 1, "height": 1, "position": 0, "status": PhotoStatus.READY}
    session.add(Photo(auction_id=auction, owner_id=owner, token=uuid4().hex, **fields))


async def test_searches_at_once_do_not_mix(guest: Client, sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        made = [make_published_auction(session) for _ in range(5)]
    found = await asyncio.gather(*(find(guest, seller=auction.seller_id) for auction in made))
    assert [[card["id"] for card in cards] for cards in found] == [[str(auction.id)] for auction in made]
