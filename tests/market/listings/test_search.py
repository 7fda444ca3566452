"""The search for auctions: filters, orders, pages, facets, and what cards show."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.listings import (
    auction_views,
    listings,
    photos,
    search,
    search_index,
)
from market.listings.auction_views import AuctionState
from market.listings.listings import Place
from market.listings.search import AuctionCard, Sort, Wanted
from market.places import neighbourhoods
from market.places.neighbourhoods import Distance, Radius
from market.rules import BuyNowUntil
from market.times import from_ms, to_ms
from store.ids import new_id
from store.models import (
    Auction,
    AuctionKind,
    AuctionStatus,
    Condition,
    DeliveryMethod,
    Neighbourhood,
    Photo,
    PhotoStatus,
)
from store.redis.glances import Glance, Price
from tests.support.factories import (
    MINUTE_MS,
    YEOKSAM,
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)

pytestmark = pytest.mark.usefixtures("some_regions", "all_categories")

HAEUNDAE = (35.1744, 129.1479)
SEOCHO = (37.4884, 127.0168)


def address(key: str) -> str:
    return f"/media/{key}"


def look(
    session: Session, sort: Sort = Sort.NEWEST, viewer_id: UUID | None = None, limit: int = 100, **wanted: Any
) -> list[AuctionCard]:
    """The first page."""
    session.expire_all()
    found = search.find(session, Wanted(**wanted), sort, None, limit, False, viewer_id)
    return search.cards(found, {}, address).items


def ids(cards: list[AuctionCard]) -> list[UUID]:
    return [card.id for card in cards]


def change(session: Session, auction_id: UUID, **values: Any) -> None:
    """Write what a bid, write-back or settlement would write."""
    session.execute(update(Auction).where(Auction.id == auction_id).values(**values))


def bid_on(session: Session, auction_id: UUID, price: int, bids: int = 1) -> None:
    change(session, auction_id, price=price, bids=bids, leader_id=make_user(session), leader_paddle=1)


def over(session: Session, auction_id: UUID, **values: Any) -> None:
    now = session.scalars(func.now().select()).one()
    hour = timedelta(hours=1)
    change(session, auction_id, opens_at=now - 2 * hour, ends_at=now - hour, **values)


@pytest.fixture
def seller(db_session: Session) -> UUID:
    return make_user(db_session, "Mina")


@pytest.mark.parametrize(
    ("made", "wanted", "others"),
    [
        ({"title": "접이식자전거"}, {"q": "자전거"}, [{"q": "자동차"}, {"q": "자전거 파랑"}]),
        ({"description": "Blue, with a bell"}, {"q": "bell blue"}, [{"q": "ell"}]),
        ({"category": "bicycles"}, {"category": "bicycles"}, [{"category": "golf"}, {"category": "digital"}]),
        ({"category": "bicycles"}, {"category": "sports"}, []),
        ({}, {"category": "other"}, [{"category": "books"}]),
        ({"condition": Condition.GOOD}, {"condition": Condition.GOOD}, [{"condition": Condition.NEW}]),
        ({}, {}, [{"condition": Condition.NEW}]),
        (
            {"deliveries": (DeliveryMethod.SHIPPING,)},
            {"delivery": DeliveryMethod.SHIPPING},
            [{"delivery": DeliveryMethod.HANDOVER}],
        ),
        (
            {"deliveries": (DeliveryMethod.HANDOVER,)},
            {"delivery": DeliveryMethod.HANDOVER},
            [{"delivery": DeliveryMethod.SHIPPING}],
        ),
        ({}, {"delivery": DeliveryMethod.HANDOVER}, []),
        ({}, {"delivery": DeliveryMethod.SHIPPING}, []),
        ({"start_price": 500}, {"min_price": 500}, [{"min_price": 501}]),
        ({"start_price": 500}, {"max_price": 500}, [{"max_price": 499}]),
        ({"start_price": 500}, {"min_price": 1, "max_price": 500}, [{"min_price": 501, "max_price": 600}]),
        ({}, {"kind": AuctionKind.LIVE}, [{"kind": AuctionKind.NEIGHBOURHOOD}, {"region": "11"}]),
        ({}, {"state": "live"}, [{"state": "scheduled"}, {"state": "closed"}]),
        (
            {},
            {"q": "bicycle", "category": "other", "state": "live", "max_price": 1_000},
            [{"q": "bicycle", "max_price": 9}],
        ),
    ],
)
def test_a_filter_finds_what_it_says(
    db_session: Session,
    seller: UUID,
    made: dict[str, Any],
    wanted: dict[str, Any],
    others: list[dict[str, Any]],
) -> None:
    auction = make_published_auction(db_session, seller, **made).id
    make_published_auction(db_session)
    assert ids(look(db_session, seller=seller, **wanted)) == [auction]
    for other in others:
        assert look(db_session, seller=seller, **other) == []


def test_the_price_is_what_one_has_to_pay_at_least(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(db_session, seller, start_price=1_000).id
    bid_on(db_session, auction, 2_500)
    assert look(db_session, seller=seller, max_price=2_499) == []
    assert ids(look(db_session, seller=seller, min_price=2_500)) == [auction]


def test_texts_are_found_as_they_are_now(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(db_session, seller, title="자전거", description="").id
    search_index.remember(db_session, auction, "텐트", "4인용")
    assert look(db_session, seller=seller, q="자전거") == []
    assert ids(look(db_session, seller=seller, q="텐트 4인용")) == [auction]


def test_the_states_of_the_list(db_session: Session, seller: UUID) -> None:
    live, past, sealed, sold = (make_published_auction(db_session, seller) for _ in range(4))
    later = make_published_auction(db_session, seller, opens_at=live.ends_at - MINUTE_MS)
    over(db_session, past.id)
    over(db_session, sealed.id, status=AuctionStatus.SEALED)
    change(db_session, sold.id, status=AuctionStatus.SOLD)
    assert ids(look(db_session, seller=seller, state="live")) == [live.id]
    assert ids(look(db_session, seller=seller, state="scheduled")) == [later.id]
    assert ids(look(db_session, seller=seller, state="closed")) == [sold.id, sealed.id, past.id]
    assert ids(look(db_session, Sort.ENDING_SOON, seller=seller)) == [live.id, later.id]
    states = {card.id: card.state for card in look(db_session, seller=seller)}
    assert states == {
        live.id: AuctionState.LIVE,
        later.id: AuctionState.SCHEDULED,
        past.id: AuctionState.CLOSING,
        sealed.id: AuctionState.CLOSING,
        sold.id: AuctionState.SOLD,
    }


def test_nobody_finds_a_draft(db_session: Session, seller: UUID) -> None:
    listings.create(db_session, seller, a_draft(title="비밀 자전거", category="bicycles"))
    searches: list[dict[str, Any]] = [{}, {"q": "자전거"}, {"category": "sports"}]
    for sort, wanted in product(Sort, searches):
        assert look(db_session, sort, seller, seller=seller, **wanted) == []
    found = search.find(db_session, Wanted(seller=seller), Sort.NEWEST, None, 10, True, seller)
    assert found.facets == search.Facets(True, [], [], [], [], [], [])


def test_a_region_stands_for_all_that_lies_in_it(db_session: Session) -> None:
    here, home = make_neighbour(db_session)
    there, away = make_neighbour(db_session, position=HAEUNDAE)
    gangnam = make_published_auction(db_session, here, place=Place(home, Radius.NEAR))
    busan = make_published_auction(db_session, there, place=Place(away, Radius.NEAR))
    make_published_auction(db_session, here)
    for code in ("11", "11680", "11680101"):
        assert ids(look(db_session, seller=here, region=code)) == [gangnam.id]
        assert look(db_session, seller=there, region=code) == []
    [card] = look(db_session, seller=there, region="26")
    assert (card.id, card.region_code, card.region_name) == (busan.id, "26350105", "부산광역시 해운대구 우동")


def test_a_radius_is_around_your_own_neighbourhood(db_session: Session) -> None:
    buyer, home = make_neighbour(db_session, position=SEOCHO)
    seller, place = make_neighbour(db_session)
    auction = make_published_auction(db_session, seller, place=Place(place, Radius.WIDE))
    far, away = make_neighbour(db_session, position=HAEUNDAE)
    make_published_auction(db_session, far, place=Place(away, Radius.WIDE))

    def around(radius: Radius) -> list[UUID]:
        found = look(db_session, viewer_id=buyer, neighbourhood_id=home, radius=radius)
        return [card.id for card in found if card.id == auction.id or card.seller_id == far]

    reached = [radius for radius in Radius if around(radius)]
    cells = neighbourhoods.cells_of(db_session, buyer)
    [cell] = neighbourhoods.cells_of(db_session, seller)
    assert reached == [radius for radius in Radius if cell in neighbourhoods.cells_around(cells, radius)]
    assert reached
    assert Radius.NEAR not in reached
    assert around(Radius.WIDE) == [auction.id]


def test_the_distance_is_told_to_neighbours_only(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    live = make_published_auction(db_session, auction.seller_id)
    near, _ = make_neighbour(db_session)
    far, _ = make_neighbour(db_session, position=HAEUNDAE)
    for viewer, distance in (
        (near, Distance.SAME),
        (far, Distance.FURTHER),
        (make_user(db_session), None),
        (None, None),
    ):
        cards = look(db_session, viewer_id=viewer, seller=auction.seller_id)
        assert {card.id: card.distance for card in cards} == {auction.id: distance, live.id: None}


ORDERS: dict[Sort, Callable[[AuctionCard], Any]] = {
    Sort.NEWEST: lambda card: -card.id.int,
    Sort.ENDING_SOON: lambda card: (card.ends_at, card.id),
    Sort.MOST_BIDS: lambda card: (-card.bids, -card.id.int),
    Sort.PRICE_LOW: lambda card: (card.price or card.start_price, card.id),
    Sort.PRICE_HIGH: lambda card: (-(card.price or card.start_price), -card.id.int),
}


@pytest.mark.parametrize("sort", Sort)
@pytest.mark.parametrize("q", [None, "bicycle"])
def test_pages_bring_everything_once_and_in_order(
    db_session: Session, seller: UUID, sort: Sort, q: str | None
) -> None:
    now = to_ms(db_session.scalars(func.now().select()).one())
    for number in range(11):
        auction = make_published_auction(
            db_session, seller, start_price=1_000 + number % 3, ends_at=now + (30 + number % 4) * MINUTE_MS
        )
        if number % 2:
            bid_on(db_session, auction.id, 1_002 + number % 5, bids=number % 5)
    expected = look(db_session, sort, seller=seller, q=q)
    assert len(expected) == 11
    assert expected == sorted(expected, key=ORDERS[sort])
    for limit in (1, 2, 5, 11, 100):
        items, cursor, pages = [], None, 0
        while pages <= 11:
            found = search.find(db_session, Wanted(seller=seller, q=q), sort, cursor, limit, False, None)
            items += search.cards(found, {}, address).items
            pages += 1
            if (cursor := found.next_cursor) is None:
                break
        assert items == expected
        assert pages == -(-11 // limit)


def cursor_of(session: Session, wanted: Wanted, sort: Sort) -> str:
    cursor = search.find(session, wanted, sort, None, 1, False, None).next_cursor
    assert cursor is not None
    return cursor


def test_a_cursor_belongs_to_its_search_and_order(db_session: Session, seller: UUID) -> None:
    for _ in range(2):
        make_published_auction(db_session, seller)
    searches = [
        (Wanted(seller=seller), Sort.NEWEST),
        (Wanted(seller=seller), Sort.MOST_BIDS),
        (Wanted(seller=seller, q="bicycle"), Sort.NEWEST),
        (Wanted(seller=seller, max_price=5_000), Sort.NEWEST),
    ]
    for (wanted, sort), (other, order) in product(searches, searches):
        cursor = cursor_of(db_session, wanted, sort)
        if (wanted, sort) == (other, order):
            assert len(search.find(db_session, other, order, cursor, 5, False, None).hits) == 1
        else:
            with pytest.raises(Refusal, match="invalid_cursor"):
                search.find(db_session, other, order, cursor, 5, False, None)


@pytest.mark.parametrize("value", [0, 10**13, 2**53 - 1])
def test_a_forged_position_does_no_harm(
    db_session: Session, seller: UUID, monkeypatch: pytest.MonkeyPatch, value: int
) -> None:
    for _ in range(2):
        make_published_auction(db_session, seller)
    monkeypatch.setattr(search, "_value", lambda sort, auction: value)
    for sort in Sort:
        cursor = cursor_of(db_session, Wanted(seller=seller), sort)
        search.find(db_session, Wanted(seller=seller), sort, cursor, 5, False, None)


HOME = new_id()


@pytest.mark.parametrize(
    ("wanted", "sort", "field"),
    [
        ({"q": "!!!"}, Sort.NEWEST, "q"),
        ({"category": "no-such"}, Sort.NEWEST, "category"),
        ({"region": "99"}, Sort.NEWEST, "region"),
        ({"radius": Radius.NEAR}, Sort.NEWEST, "neighbourhood_id"),
        ({"neighbourhood_id": HOME}, Sort.NEWEST, "radius"),
        ({"neighbourhood_id": HOME, "radius": Radius.NEAR, "region": "11"}, Sort.NEWEST, "region"),
        ({"kind": AuctionKind.LIVE, "region": "11"}, Sort.NEWEST, "kind"),
        ({"kind": AuctionKind.LIVE, "neighbourhood_id": HOME, "radius": Radius.NEAR}, Sort.NEWEST, "kind"),
        ({"min_price": 2, "max_price": 1}, Sort.NEWEST, "min_price"),
        ({"state": "closed"}, Sort.ENDING_SOON, "sort"),
    ],
)
def test_what_makes_no_sense_is_refused(
    db_session: Session, wanted: dict[str, Any], sort: Sort, field: str
) -> None:
    with pytest.raises(Refusal) as refused:
        look(db_session, sort, make_user(db_session), **wanted)
    assert refused.value.code == "invalid_query"
    errors: Any = refused.value.fields["errors"]
    assert [error["field"] for error in errors] == [field]


def test_a_radius_needs_a_neighbour(db_session: Session) -> None:
    owner, home = make_neighbour(db_session)
    wanted: dict[str, Any] = {"neighbourhood_id": home, "radius": Radius.NEAR}
    with pytest.raises(Refusal, match="unauthenticated"):
        look(db_session, **wanted)
    other, _ = make_neighbour(db_session)
    with pytest.raises(Refusal, match="not_a_neighbour"):
        look(db_session, viewer_id=other, **wanted)
    expired = {"expires_at": func.now() - timedelta(seconds=1)}
    db_session.execute(update(Neighbourhood).where(Neighbourhood.id == home).values(expired))
    with pytest.raises(Refusal, match="not_a_neighbour"):
        look(db_session, viewer_id=owner, **wanted)


def test_facets_count_what_is_found(
    db_session: Session, seller: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = neighbourhoods.verify(db_session, seller, *YEOKSAM, accuracy_m=10).id
    place = Place(home, Radius.NEAR)
    for fields in (
        {"category": "bicycles", "condition": Condition.NEW, "deliveries": (DeliveryMethod.SHIPPING,)},
        {"category": "bicycles", "condition": Condition.GOOD, "place": place},
        {"category": "phones", "condition": Condition.GOOD, "place": place},
        {"title": "텐트"},
    ):
        make_published_auction(db_session, seller, **fields)
    closed = make_published_auction(db_session, seller)
    change(db_session, closed.id, status=AuctionStatus.UNSOLD)

    def facets(**wanted: Any) -> dict[str, Any]:
        found = search.find(db_session, Wanted(seller=seller, **wanted), Sort.MOST_BIDS, None, 1, True, None)
        assert found.facets is not None
        counts = {
            name: {count.value: count.count for count in getattr(found.facets, name)}
            for name in ("category", "condition", "kind", "state", "region", "delivery")
        }
        return {"complete": found.facets.complete, **counts}

    assert facets() == {
        "complete": True,
        "category": {"bicycles": 2, "other": 2, "phones": 1},
        "condition": {"good": 2, "new": 1},
        "kind": {"live": 3, "neighbourhood": 2},
        "state": {"live": 4, "closed": 1},
        "region": {"11": 2},
        "delivery": {"shipping": 5, "handover": 4},
    }
    assert facets(category="sports", q="bicycle")["condition"] == {"good": 1, "new": 1}
    monkeypatch.setattr(search, "MAX_COUNTED", 2)
    newest = facets()
    assert (newest["complete"], newest["category"], newest["state"]) == (
        False,
        {"other": 2},
        {"live": 1, "closed": 1},
    )


def test_a_card_shows_the_first_photo_that_is_ready(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(db_session, seller)
    bare = make_published_auction(db_session, seller)
    for position, status in enumerate([PhotoStatus.DELETED, PhotoStatus.READY, PhotoStatus.READY]):
        db_session.add(
            Photo(
                auction_id=auction.id,
                owner_id=seller,
                token=f"{auction.id.hex}{position}",
                status=status,
                position=position,
                size=1,
                width=1,
                height=1,
            )
        )
    db_session.flush()
    shown = {card.id: card.photo for card in look(db_session, seller=seller)}
    [first, _] = photos.of_auctions(db_session, [auction.id], address)[auction.id]
    assert shown == {auction.id: first.card, bare.id: None}


def test_a_card_says_what_the_auction_says(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(
        db_session, seller, reserve=3_000, buy_now=6_000, buy_now_until=BuyNowUntil.RESERVE_MET
    )
    for price, status in ((None, None), (2_000, None), (3_500, None), (3_500, AuctionStatus.SOLD)):
        if price is not None:
            bid_on(db_session, auction.id, price)
        if status is not None:
            change(db_session, auction.id, status=status, hammer_price=price)
        [card] = look(db_session, seller=seller)
        view = auction_views.get(db_session, auction.id)
        names = set(card.__struct_fields__) & set(view.__struct_fields__)
        assert len(names) == 18
        assert {name: getattr(card, name) for name in names} == {name: getattr(view, name) for name in names}


def glance(**changes: Any) -> Glance:
    now = 10**13
    fields: dict[str, Any] = {
        "seq": 5,
        "price": 2_000,
        "leader": str(new_id()),
        "bids": 5,
        "ends_at": now,
        "sealed": False,
    }
    return Glance(3, Price(**fields | changes))


def test_redis_knows_more_of_a_live_auction(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(
        db_session, seller, reserve=2_000, buy_now=6_000, buy_now_until=BuyNowUntil.FIRST_BID
    )
    found = search.find(db_session, Wanted(seller=seller), Sort.NEWEST, None, 1, False, None)
    assert found.running() == {auction.id: True}

    def card(seen: Glance) -> AuctionCard:
        return search.cards(found, {auction.id: seen}, address).items[0]

    hot = card(glance())
    assert (hot.price, hot.next_minimum, hot.bids, hot.ends_at, hot.viewers) == (2_000, 2_100, 5, 10**13, 3)
    assert (hot.reserve_met, hot.buy_now, hot.state) == (True, None, AuctionState.LIVE)
    quiet = card(glance(seq=0, price=0, leader="", bids=0))
    assert (quiet.price, quiet.next_minimum, quiet.buy_now, quiet.reserve_met) == (None, 1_000, 6_000, False)
    ended = card(glance(sealed=True))
    assert (ended.state, ended.viewers) == (AuctionState.CLOSING, None)
    assert card(glance(ends_at=to_ms(found.now))).state == AuctionState.CLOSING


def test_a_bid_after_the_planned_end_keeps_it_running(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(db_session, seller)
    over(db_session, auction.id)
    db_session.expire_all()
    found = search.find(db_session, Wanted(seller=seller), Sort.NEWEST, None, 1, False, None)
    assert found.running() == {auction.id: True}
    [card] = search.cards(found, {auction.id: glance()}, address).items
    assert card.state == AuctionState.LIVE


def test_postgresql_knows_best_what_it_decides_or_redis_has_lost(db_session: Session) -> None:
    auction = make_neighbourhood_auction(db_session)
    bid_on(db_session, auction.id, 1_500, bids=1)
    db_session.expire_all()
    found = search.find(db_session, Wanted(seller=auction.seller_id), Sort.NEWEST, None, 1, False, None)
    assert found.running() == {auction.id: False}
    [card] = search.cards(found, {auction.id: Glance(3, None)}, address).items
    assert (card.price, card.bids, card.viewers) == (1_500, 1, 3)

    live = make_published_auction(db_session)
    bid_on(db_session, live.id, 1_700)
    change(db_session, live.id, seq=6)
    db_session.expire_all()
    found = search.find(db_session, Wanted(seller=live.seller_id), Sort.NEWEST, None, 1, False, None)
    [card] = search.cards(found, {live.id: glance(seq=5)}, address).items
    assert (card.price, card.ends_at) == (1_700, live.ends_at)


def test_what_is_over_is_not_asked_of_redis(db_session: Session, seller: UUID) -> None:
    auction = make_published_auction(db_session, seller)
    later = make_published_auction(db_session, seller, opens_at=auction.ends_at - 1)
    change(db_session, auction.id, status=AuctionStatus.SOLD, ends_at=from_ms(auction.ends_at))
    found = search.find(db_session, Wanted(seller=seller), Sort.NEWEST, None, 5, False, None)
    assert [hit.auction.id for hit in found.hits] == [later.id, auction.id]
    assert found.running() == {}
