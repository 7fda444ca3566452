from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from market.places import neighbourhoods
from market.times import from_ms
from store.database import SyncDatabase
from store.models import Auction
from store.redis.auctions import read_auction
from store.redis.clients import Hot
from tests.support.client import AUCTION, Client, People
from tests.support.endpoints import draft
from tests.support.factories import YEOKSAM

UNSEEN: dict[str, Any] = {"photos": [], "distance": None, "watchers": 0, "watched": False}
"""What one auction also has, when nobody has looked at it."""


async def created(seller: Client, **changes: Any) -> str:
    return str((await seller.post("/seller/auctions", draft(**changes)))["id"])


async def test_a_draft_keeps_what_was_written(person: People) -> None:
    seller, body = person(), draft()
    answer = await seller.call("POST", "/seller/auctions", body)
    assert answer.status == 201
    view = answer.body
    assert set(view) == AUCTION
    assert answer.headers["Location"] == f"/api/v1/auctions/{view['id']}"
    for name in ("title", "description", "start_price", "increments", "opens_at", "ends_at"):
        assert view[name] == body[name]
    assert view["latest_end"] == body["ends_at"] + 600_000
    assert (view["soft_close_window_ms"], view["soft_close_extension_ms"]) == (30_000, 20_000)
    assert (view["state"], view["seller_id"]) == ("draft", str(seller.user_id))
    assert await seller.get(f"/auctions/{view['id']}") == view | UNSEEN


async def test_description_opening_time_and_soft_close_may_be_left_out(person: People) -> None:
    body = draft()
    for name in ("description", "opens_at", "soft_close"):
        del body[name]
    view = await person().post("/seller/auctions", body)
    assert view["description"] == ""
    assert view["latest_end"] == view["ends_at"]


async def test_a_draft_uses_a_table_of_increments_that_everybody_can_look_up(
    person: People, guest: Client
) -> None:
    seller, table = person(), (await guest.get("/platform"))["increment_tables"][0]
    body = draft(increment_table=table["name"])
    del body["increments"]
    made = await seller.post("/seller/auctions", body)
    assert (made["increment_table"], made["increments"]) == (table["name"], table["increments"])
    published = await seller.post(f"/seller/auctions/{made['id']}/publish")
    assert (published["increment_table"], published["increments"]) == (None, table["increments"])
    change = {"increment_table": table["name"]}
    path = f"/seller/auctions/{made['id']}"
    assert await seller.refused("PATCH", path, change, version=1) == "wrong_state"
    own = await created(seller)
    view = await seller.done("PATCH", f"/seller/auctions/{own}", change, version=1)
    assert (view["increment_table"], view["increments"]) == (table["name"], table["increments"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", " "),
        ("title", "two\nlines"),
        ("title", "x" * 201),
        ("description", "\0"),
        ("increments", [[0]]),
        ("increments", [[0, 1.5]]),
        ("increments", {"0": 1}),
        ("increment_table", ""),
        ("increment_table", "x" * 51),
        ("ends_at", "tomorrow"),
        ("soft_close", {"window_ms": 1}),
    ],
)
async def test_a_draft_names_the_field_of_a_wrong_shape(person: People, field: str, value: object) -> None:
    answer = await person().call("POST", "/seller/auctions", draft(**{field: value}))
    assert answer.body["code"] == "invalid_body"
    assert [error["field"] for error in answer.body["errors"]] == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("increments", []),
        ("increments", [[1, 100]]),
        ("increments", [[0, 0]]),
        ("increments", [[0, 100], [0, 200]]),
        ("increments", [[0, 2**53]]),
        ("increment_table", "standard"),
        ("ends_at", 1),
        ("ends_at", 2**70),
        ("ends_at", -1),
        ("opens_at", 2**70),
        ("opens_at", -(2**70)),
        ("soft_close", {"window_ms": 0, "extension_ms": 0, "cap_ms": 0}),
        ("soft_close", {"window_ms": 1, "extension_ms": 1, "cap_ms": 2**70}),
    ],
)
async def test_a_draft_that_makes_no_sense_names_its_field(person: People, field: str, value: object) -> None:
    answer = await person().call("POST", "/seller/auctions", draft(**{field: value}))
    assert (answer.body["code"], answer.body["field"]) == ("invalid_auction", field)


async def test_reserve_and_buy_now_are_kept_and_the_reserve_stays_with_the_seller(
    person: People, guest: Client, hot: Hot
) -> None:
    seller, other = person(), person()
    body = draft(reserve=54_321, buy_now=60_000, buy_now_until="reserve_met")
    view = await seller.post("/seller/auctions", body)
    assert {name: view[name] for name in ("reserve", "buy_now", "buy_now_until")} == {
        "reserve": 54_321,
        "buy_now": 60_000,
        "buy_now_until": "reserve_met",
    }
    published = await seller.post(f"/seller/auctions/{view['id']}/publish")
    assert (published["reserve"], published["reserve_met"]) == (54_321, False)
    state = (await hot.run(read_auction(UUID(view["id"]), 0))).state
    assert state is not None
    assert (state["reserve"], state["buy_now_price"], state["buy_now_until"]) == (
        "54321",
        "60000",
        "reserve_met",
    )
    own = (await seller.get("/seller/auctions?limit=1"))["items"]
    assert (own[0]["id"], own[0]["reserve"]) == (view["id"], 54_321)
    for visitor in (guest, other):
        seen = await visitor.get(f"/auctions/{view['id']}")
        listed = (await visitor.get(f"/auctions?seller={seller.user_id}"))["items"][0]
        assert {name: seen[name] for name in listed if name in seen} == {
            name: value for name, value in listed.items() if name in seen
        }
        assert "reserve" not in listed
        assert (seen["reserve"], seen["reserve_met"], seen["buy_now"]) == (None, False, 60_000)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"reserve": 1_000}, "invalid_auction", "reserve"),
        ({"buy_now": 1_000, "buy_now_until": "always"}, "invalid_auction", "buy_now"),
        ({"buy_now": 5_000}, "invalid_auction", "buy_now_until"),
        ({"buy_now": 5_000, "buy_now_until": "reserve_met"}, "invalid_auction", "buy_now_until"),
        ({"reserve": 0}, "invalid_body", "reserve"),
        ({"reserve": 1.5}, "invalid_body", "reserve"),
        ({"buy_now": 2**53}, "invalid_body", "buy_now"),
        ({"buy_now": 5_000, "buy_now_until": "sometimes"}, "invalid_body", "buy_now_until"),
    ],
)
async def test_an_impossible_reserve_or_buy_now_is_refused_by_field(
    person: People, changes: dict[str, Any], code: str, field: str
) -> None:
    answer = await person().call("POST", "/seller/auctions", draft(**changes))
    found = [error["field"] for error in answer.body.get("errors", [])] or [answer.body["field"]]
    assert (answer.body["code"], found) == (code, [field])


async def test_publishing_opens_the_auction_in_redis(person: People, hot: Hot) -> None:
    seller = person()
    auction = await created(seller)
    view = await seller.post(f"/seller/auctions/{auction}/publish")
    assert set(view) == AUCTION
    assert view["state"] == "live"
    state = (await hot.run(read_auction(UUID(view["id"]), 0))).state
    assert state is not None
    assert (state["seller"], state["start_price"], state["epoch"]) == (str(seller.user_id), "1000", "1")
    assert (state["ends_at"], state["latest_end"]) == (str(view["ends_at"]), str(view["latest_end"]))


@pytest.mark.usefixtures("some_regions")
async def test_a_neighbourhood_auction_can_be_watched_at_once(
    person: People, hot: Hot, sync_database: SyncDatabase
) -> None:
    seller = person()
    with sync_database.transaction() as session:
        home = neighbourhoods.verify(session, seller.user_id, *YEOKSAM, accuracy_m=10).id
    auction = await created(seller, place={"neighbourhood_id": str(home), "radius": "near"})
    await seller.post(f"/seller/auctions/{auction}/publish")
    state = (await hot.run(read_auction(UUID(auction), 0))).state
    assert state is not None
    assert (state["seller"], state["seq"]) == (str(seller.user_id), "0")


@pytest.mark.usefixtures("some_regions")
@pytest.mark.parametrize("kind", ["live", "neighbourhood"])
async def test_an_auction_is_published_whatever_redis_does(
    person: People, sync_database: SyncDatabase, redis_away: Callable[[], None], kind: str
) -> None:
    seller, place = person(), None
    with sync_database.transaction() as session:
        home = neighbourhoods.verify(session, seller.user_id, *YEOKSAM, accuracy_m=10).id
    if kind == "neighbourhood":
        place = {"neighbourhood_id": str(home), "radius": "near"}
    auction = await created(seller, place=place)
    redis_away()
    view = await seller.post(f"/seller/auctions/{auction}/publish")
    assert (view["state"], view["kind"]) == ("live", kind)


async def test_publishing_works_once_and_for_the_seller_only(person: People) -> None:
    seller, other = person(), person()
    auction = await created(seller)
    path = f"/seller/auctions/{auction}/publish"
    assert await other.refused("POST", path) == "forbidden"
    await seller.post(path)
    assert await seller.refused("POST", path) == "wrong_state"
    assert await seller.refused("POST", path.replace(auction[:8], "00000000")) == "not_found"


async def test_an_auction_whose_end_has_passed_cannot_be_published(
    person: People, sync_database: SyncDatabase
) -> None:
    seller = person()
    auction = await created(seller)
    with sync_database.transaction() as session:
        past = {"opens_at": from_ms(1), "ends_at": from_ms(2), "latest_end": from_ms(2)}
        session.execute(update(Auction).where(Auction.id == auction).values(**past))
    assert await seller.refused("POST", f"/seller/auctions/{auction}/publish") == "invalid_auction"


async def test_without_redis_an_auction_is_published_and_left_to_the_sweep(
    person: People, guest: Client, hot: Hot, redis_away: Callable[[], None]
) -> None:
    seller = person()
    auction = await created(seller)
    redis_away()
    view = await seller.post(f"/seller/auctions/{auction}/publish")
    assert view | UNSEEN == await guest.get(f"/auctions/{auction}")
    assert view["state"] == "live"
    assert (await hot.run(read_auction(UUID(view["id"]), 0))).state is None


async def test_sellers_list_their_own_auctions_drafts_too(person: People) -> None:
    seller, other = person(), person()
    auctions = [await created(seller, title=f"Lot {number}") for number in range(5)]
    await seller.post(f"/seller/auctions/{auctions[0]}/publish")
    items = await seller.items("/seller/auctions", 2)
    assert [item["id"] for item in items] == auctions[::-1]
    assert {item["state"] for item in items} == {"draft", "live"}
    assert await other.items("/seller/auctions", 2) == []


async def test_an_edit_names_its_version_and_answers_the_new_one(person: People, guest: Client) -> None:
    seller = person()
    auction = await created(seller)
    path = f"/seller/auctions/{auction}"
    assert await seller.refused("PATCH", path, {"title": "A tandem"}) == "precondition_required"
    edited = await seller.done("PATCH", path, {"title": "A tandem", "reserve": 5_000}, version=1)
    assert (edited["title"], edited["reserve"], edited["version"]) == ("A tandem", 5_000, 2)
    assert await seller.refused("PATCH", path, {"title": "Old"}, version=1) == "precondition_failed"
    edited = await seller.done("PATCH", path, {"reserve": None, "soft_close": None}, version=2)
    assert (edited["reserve"], edited["latest_end"]) == (None, edited["ends_at"])
    assert edited | UNSEEN == await seller.get(f"/auctions/{auction}")

    await seller.post(f"{path}/publish")
    answer = await seller.call("PATCH", path, {"title": "Late", "start_price": 1}, version=3)
    assert (answer.status, answer.body["code"]) == (409, "wrong_state")
    assert answer.body["fields"] == ["start_price", "title"]
    edited = await seller.done("PATCH", path, {"addendum": "The bell\nis missing."}, version=3)
    assert [addendum["text"] for addendum in edited["addenda"]] == ["The bell\nis missing."]
    assert (await guest.get(f"/auctions/{auction}"))["addenda"] == edited["addenda"]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, []),
        ({"title": None}, ["title"]),
        ({"title": "two\nlines"}, ["title"]),
        ({"start_price": None}, ["start_price"]),
        ({"start_price": 0}, ["start_price"]),
        ({"deliveries": ["drone"]}, ["deliveries"]),
        ({"deliveries": ["handover", "shipping", "shipping"]}, ["deliveries"]),
        ({"addendum": ""}, ["addendum"]),
        ({"addendum": "x" * 2_001}, ["addendum"]),
        ({"place": {"radius": "near"}}, ["place"]),
        ({"seller_id": "x", "status": "sold"}, ["seller_id", "status"]),
    ],
)
async def test_a_wrong_edit_names_its_fields(person: People, body: dict[str, Any], fields: list[str]) -> None:
    seller = person()
    auction = await created(seller)
    answer = await seller.call("PATCH", f"/seller/auctions/{auction}", body, version=1)
    assert answer.body["code"] == "invalid_body"
    assert [error["field"] for error in answer.body["errors"]] == fields
    assert (await seller.get(f"/auctions/{auction}"))["version"] == 1


async def test_an_impossible_edit_names_its_field(person: People) -> None:
    seller = person()
    auction = await created(seller)
    for body, field in (({"deliveries": []}, "deliveries"), ({"ends_at": 1}, "ends_at")):
        answer = await seller.call("PATCH", f"/seller/auctions/{auction}", body, version=1)
        assert (answer.body["code"], answer.body["field"]) == ("invalid_auction", field)


async def test_a_draft_is_deleted_for_good(person: People) -> None:
    seller = person()
    auction = await created(seller)
    path = f"/seller/auctions/{auction}"
    assert await person().refused("DELETE", path) == "forbidden"
    assert (await seller.call("DELETE", path)).status == 204
    assert await seller.refused("GET", f"/auctions/{auction}") == "not_found"
    assert await seller.refused("DELETE", path) == "not_found"
    assert await seller.items("/seller/auctions", 10) == []
    published = await created(seller)
    await seller.post(f"/seller/auctions/{published}/publish")
    assert await seller.refused("DELETE", f"/seller/auctions/{published}") == "wrong_state"


async def test_a_listing_is_copied_once_under_a_key(person: People, sync_database: SyncDatabase) -> None:
    seller = person()
    auction = await created(seller, deliveries=["shipping"])
    path = f"/seller/auctions/{auction}"
    assert await seller.refused("POST", f"{path}/relist", {}) == "wrong_state"
    await seller.post(f"{path}/publish")
    with sync_database.transaction() as session:
        session.execute(update(Auction).where(Auction.id == auction).values(status="unsold"))
    for action, origin in (("duplicate", None), ("relist", auction)):
        key = {"Idempotency-Key": f'"{uuid4()}"'}
        first = await seller.call("POST", f"{path}/{action}", {}, headers=key)
        again = await seller.call("POST", f"{path}/{action}", {}, headers=key)
        assert (first.status, first.body) == (again.status, again.body)
        assert first.status == 201
        for answer in (first, again):
            assert answer.headers["Location"] == f"/api/v1/auctions/{first.body['id']}"
        assert (first.body["state"], first.body["relisted_from"]) == ("draft", origin)
        assert first.body["deliveries"] == ["shipping"]
        answer = await seller.call("POST", f"{path}/{action}", {"ends_at": 1})
        assert (answer.body["code"], answer.body["field"]) == ("invalid_auction", "ends_at")
    assert len(await seller.items("/seller/auctions", 10)) == 3
    await seller.post(f"/seller/auctions/{first.body['id']}/publish")
    assert (await person().get(f"/auctions/{auction}"))["relisted_as"] == first.body["id"]


async def test_your_own_figures_come_by_month(person: People) -> None:
    seller = person()
    await seller.post(f"/seller/auctions/{await created(seller)}/publish")
    assert [month["published"] for month in (await seller.get("/seller/report"))["items"]] == [0] * 11 + [1]
    old = await seller.get("/seller/report?from=2025-12&to=2026-01")
    nothing = dict.fromkeys(("published", "sold", "unsold", "completed", "gross", "refunds", "refunded"), 0)
    empty = {"conversion": None, **nothing}
    assert old == {"items": [{"month": "2025-12", **empty}, {"month": "2026-01", **empty}]}
    assert (await person().get("/seller/report"))["items"][-1]["published"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026", "from"),
        ("from=2026-13", "from"),
        ("to=2026-00", "to"),
        ("from=2026-02&to=2026-01", "from"),
        ("from=2001-01", "from"),
        ("first=2026-01", "first"),
    ],
)
async def test_wrong_months_are_named(person: People, query: str, field: str) -> None:
    answer = await person().call("GET", f"/seller/report?{query}")
    assert answer.body["code"] == "invalid_query"
    assert [error["field"] for error in answer.body["errors"]] == [field]
