"""PostgreSQL answers every kind of search from an index, of its own choice; and so what sweeps ask."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from bench import listings
from market import account_deletion
from market.bidding import neighbourhood
from market.listings import photos, search, watches
from market.listings.search import Sort, Wanted
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from store.database import SyncDatabase
from store.models import Condition, DeliveryMethod
from tests.support.database import fresh_database
from tests.support.factories import YEOKSAM, make_user
from tests.support.plans import Plans, nodes

LISTINGS = 20_000
"""With fewer, reading everything is sometimes the best plan."""


@pytest.fixture(scope="module")
def many() -> Iterator[SyncDatabase]:
    """A database with many listings."""
    with fresh_database() as url:
        listings.fill(url, LISTINGS)
        database = SyncDatabase(url)
        yield database
        database.dispose()


@pytest.fixture
def session(many: SyncDatabase) -> Iterator[Session]:
    with many.transaction() as session:
        yield session
        session.rollback()


def indexes(plan: dict[str, Any]) -> set[str]:
    return {node["Index Name"] for node in nodes(plan) if "Index Name" in node}


def read_through(plan: dict[str, Any]) -> set[str]:
    """The tables that are read from their beginning to their end."""
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


def seller_of(session: Session) -> UUID:
    return search.find(session, Wanted(), Sort.NEWEST, None, 1, False, None).hits[0].auction.seller_id


LARGE = {"auctions", "search_words", "users", "photos"}


@pytest.mark.parametrize(
    ("wanted", "sort", "index"),
    [
        ({}, Sort.NEWEST, "pk_auctions"),
        ({}, Sort.ENDING_SOON, "ix_auctions_status_ends_at_id"),
        ({"state": "live"}, Sort.ENDING_SOON, "ix_auctions_status_ends_at_id"),
        ({}, Sort.MOST_BIDS, "ix_auctions_bids_id"),
        ({}, Sort.PRICE_LOW, "ix_auctions_asked_id"),
        ({}, Sort.PRICE_HIGH, "ix_auctions_asked_id"),
        ({"min_price": 100_000, "max_price": 102_000}, Sort.NEWEST, "ix_auctions_asked_id"),
        ({"category": "bicycles"}, Sort.NEWEST, "ix_auctions_category_code_id"),
        ({"category": "bicycles"}, Sort.PRICE_LOW, "ix_auctions_category_code_id"),
        (
            {"category": "books", "condition": Condition.NEW},
            Sort.ENDING_SOON,
            # Gathering what is in the branch, or walking through what ends until a page is full.
            "ix_auctions_category_code_id|ix_auctions_status_ends_at_id",
        ),
        ({"delivery": DeliveryMethod.SHIPPING}, Sort.NEWEST, "pk_auctions"),
        ({"delivery": DeliveryMethod.HANDOVER}, Sort.ENDING_SOON, "ix_auctions_status_ends_at_id"),
        (
            {"category": "books", "delivery": DeliveryMethod.SHIPPING},
            Sort.PRICE_LOW,
            "ix_auctions_category_code_id|ix_auctions_asked_id",
        ),
        ({"region": "11680"}, Sort.NEWEST, "ix_auctions_region_code"),
        ({"region": "47"}, Sort.PRICE_LOW, "ix_auctions_region_code|ix_auctions_asked_id"),
        ({"radius": Radius.NEAR}, Sort.ENDING_SOON, "ix_auctions_cell"),
        ({"radius": Radius.WIDE}, Sort.NEWEST, "ix_auctions_cell|pk_auctions"),
        ({"q": "자전거"}, Sort.NEWEST, "ix_search_words_words"),
        ({"q": "접이식 자전거"}, Sort.ENDING_SOON, "ix_search_words_words"),
        ({"q": "bicy"}, Sort.PRICE_LOW, "ix_search_words_words"),
        ({"q": "텐"}, Sort.MOST_BIDS, "ix_search_words_words"),
        ({"q": "자전거", "radius": Radius.WIDE}, Sort.NEWEST, "ix_auctions_cell|ix_search_words_words"),
        ({"seller": None}, Sort.NEWEST, "ix_auctions_seller_id_id"),
    ],
)
def test_a_search_uses_its_index(session: Session, wanted: dict[str, Any], sort: Sort, index: str) -> None:
    viewer = make_user(session)
    home = neighbourhoods.verify(session, viewer, *YEOKSAM, accuracy_m=10).id
    if "radius" in wanted:
        wanted = wanted | {"neighbourhood_id": home}
    if "seller" in wanted:
        wanted = {"seller": seller_of(session)}
    what = Wanted(**wanted)
    cursor = search.find(session, what, sort, None, 1, False, viewer).next_cursor
    for page, after in (("first", None), ("next", cursor)):
        with Plans(session) as found:
            search.find(session, what, sort, after, 50, False, viewer)
        [_context, plan] = found.plans
        assert set(index.split("|")) & indexes(plan), page
        assert not read_through(plan) & LARGE, page


def test_a_watch_list_uses_its_index(session: Session) -> None:
    viewer = make_user(session)
    for hit in search.find(session, Wanted(), Sort.NEWEST, None, 100, False, None).hits:
        watches.put(session, viewer, hit.auction.id)
    cursor = search.watched(session, viewer, None, 50).next_cursor
    for after in (None, cursor):
        with Plans(session) as found:
            search.watched(session, viewer, after, 50)
        [_context, plan] = found.plans
        assert not read_through(plan) & LARGE


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "pk_auctions"),
        ({"q": "자전거"}, "ix_search_words_words"),
        ({"category": "bicycles"}, "ix_auctions_category_code_id"),
        ({"region": "11680"}, "ix_auctions_region_code"),
        ({"delivery": DeliveryMethod.SHIPPING}, "pk_auctions"),
    ],
)
def test_facets_use_an_index(session: Session, wanted: dict[str, Any], index: str) -> None:
    with Plans(session) as found:
        search.find(session, Wanted(**wanted), Sort.NEWEST, None, 50, True, None)
    [_context, _page, facets] = found.plans
    assert index in indexes(facets)
    assert not read_through(facets) & LARGE


@pytest.mark.parametrize(
    ("sweep", "index"),
    [
        (neighbourhood.mirror_missing, "ix_auctions_unmirrored"),
        (partial(neighbourhood.looked_after, after=None), "ix_auctions_copies"),
        (partial(neighbourhood.claim_due, after=None), "ix_auctions_status_ends_at_id"),
        (photos.doomed, "ix_photos_orphaned"),
        (account_deletion.forget_messages, "ix_chat_messages_gone"),
    ],
)
def test_a_sweep_uses_its_index(session: Session, sweep: Callable[[Session], object], index: str) -> None:
    # There are no photos here, and reading nothing from beginning to end is cheap.
    session.execute(text("SET LOCAL enable_seqscan = off"))
    with Plans(session) as found:
        sweep(session)
    plan = found.plans[0]
    assert index in indexes(plan)
    assert not read_through(plan)
