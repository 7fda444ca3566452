from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from market.listings import auction_views, listings
from market.places import neighbourhoods
from market.times import from_ms
from store.database import SyncDatabase
from store.models import Bid
from tests.support.client import AUCTION, Client, People
from tests.support.factories import (
    YEOKSAM,
    a_draft,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)


@pytest.fixture
def auction(sync_database: SyncDatabase) -> UUID:
    with sync_database.transaction() as session:
        view = make_published_auction(session)
    return view.id


def add_bids(session: Session, auction: UUID, count: int) -> UUID:
    """Bids of one bidder, who is returned."""
    bidder = make_user(session)
    start = from_ms((auction_views.get(session, auction)).opens_at)
    for seq in range(1, count + 1):
        session.add(
            Bid(
                auction_id=auction,
                epoch=1,
                seq=seq,
                at=start + timedelta(seconds=seq),
                bidder_id=bidder,
                paddle=7,
                ref=f"r{seq}",
                maximum=987_654,
                price=1_000 + seq,
                leader_id=bidder,
                leader_paddle=7,
                leader_maximum=987_654,
                next_minimum=1_100,
                ends_at=start + timedelta(hours=1),
                extended=False,
                bids=seq,
            )
        )
    return bidder


async def test_a_guest_sees_a_published_auction(guest: Client, auction: UUID) -> None:
    view = await guest.get(f"/auctions/{auction}")
    assert set(view) == AUCTION | {"photos", "distance", "watchers", "watched"}
    assert (view["id"], view["kind"], view["state"]) == (str(auction), "live", "live")
    assert (view["price"], view["next_minimum"], view["bids"]) == (None, 1_000, 0)
    assert view["increments"] == [[0, 100], [10_000, 500]]


async def test_a_draft_is_there_for_its_seller_only(
    guest: Client, person: People, sync_database: SyncDatabase
) -> None:
    seller, other = person(), person()
    with sync_database.transaction() as session:
        draft = listings.create(session, seller.user_id, a_draft())
    assert (await seller.get(f"/auctions/{draft.id}"))["state"] == "draft"
    assert await other.refused("GET", f"/auctions/{draft.id}") == "not_found"
    assert await guest.refused("GET", f"/auctions/{draft.id}") == "not_found"
    assert await guest.refused("GET", f"/auctions/{draft.id}/bids") == "not_found"
    assert str(draft.id) not in [item["id"] for item in await seller.items("/auctions", 100)]


async def test_how_far_an_auction_is_neighbours_are_told(
    guest: Client, person: People, sync_database: SyncDatabase, some_regions: None
) -> None:
    neighbour, stranger = person(), person()
    with sync_database.transaction() as session:
        local, live = make_neighbourhood_auction(session).id, make_published_auction(session).id
        neighbourhoods.verify(session, neighbour.user_id, *YEOKSAM, 20.0)
    path = f"/auctions/{local}"
    assert (await neighbour.get(path))["distance"] == "same"
    [card] = (await neighbour.get(f"/auctions?seller={(await guest.get(path))['seller_id']}"))["items"]
    assert card["distance"] == "same"
    for client in (guest, stranger):
        assert (await client.get(path))["distance"] is None
    assert (await neighbour.get(f"/auctions/{live}"))["distance"] is None


async def test_an_unknown_auction_is_not_found(guest: Client) -> None:
    assert await guest.refused("GET", f"/auctions/{uuid4()}") == "not_found"
    assert await guest.refused("GET", f"/auctions/{uuid4()}/bids") == "not_found"


async def test_bids_are_public_by_paddle_number_newest_first(
    guest: Client, auction: UUID, sync_database: SyncDatabase
) -> None:
    with sync_database.transaction() as session:
        bidder = add_bids(session, auction, 5)
    items = await guest.items(f"/auctions/{auction}/bids", 2)
    assert [item["seq"] for item in items] == [5, 4, 3, 2, 1]
    assert all(set(item) == {"seq", "epoch", "paddle", "price", "at"} for item in items)
    assert "987654" not in str(items)
    assert str(bidder) not in str(items)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1.5", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("sate=live", "sate"),
    ],
)
async def test_a_wrong_query_names_the_parameter(
    guest: Client, auction: UUID, query: str, field: str
) -> None:
    for path in ("/auctions", f"/auctions/{auction}/bids"):
        answer = await guest.call("GET", f"{path}?{query}")
        assert answer.body["code"] == "invalid_query"
        assert [error["field"] for error in answer.body["errors"]] == [field]


async def test_the_history_of_a_price_is_public(
    guest: Client, auction: UUID, sync_database: SyncDatabase
) -> None:
    assert await guest.get(f"/auctions/{auction}/prices") == {"items": []}
    with sync_database.transaction() as session:
        add_bids(session, auction, 3)
    items = (await guest.get(f"/auctions/{auction}/prices"))["items"]
    assert [item["price"] for item in items] == [1_001, 1_002, 1_003]
    assert [set(item) for item in items] == [{"at", "price"}] * 3
    assert await guest.refused("GET", f"/auctions/{uuid4()}/prices") == "not_found"


@pytest.mark.parametrize("cursor", ["x", "AAAA", "bnVsbA==", "WzEsMl0=", "IjEi", "Wy0xLDFd"])
async def test_a_cursor_that_no_list_has_given_is_refused(guest: Client, auction: UUID, cursor: str) -> None:
    assert await guest.refused("GET", f"/auctions?cursor={cursor}") == "invalid_cursor"
    if cursor != "WzEsMl0=":  # [1, 2] is a position in the list of bids
        assert await guest.refused("GET", f"/auctions/{auction}/bids?cursor={cursor}") == "invalid_cursor"
