"""Requests under an `Idempotency-Key` have their effect once, however often they are sent."""

from asyncio import gather
from inspect import getsource
from uuid import UUID, uuid4

import pytest

from handlers.http.openapi import operations
from handlers.routes import ROUTES
from market import idempotency
from market.listings import listings
from market.money.wallet import Wallet
from store.database import SyncDatabase
from tests.support.client import Answer, Client, People
from tests.support.endpoints import draft
from tests.support.factories import a_draft, make_published_auction

MOVE_MONEY = {
    "POST /api/v1/wallet/top-ups",
    "POST /api/v1/auctions/{auction_id}/paddle",
    "PATCH /api/v1/auctions/{auction_id}/paddle",
    "POST /api/v1/seller/auctions",
    "POST /api/v1/seller/auctions/{auction_id}/publish",
    "POST /api/v1/seller/auctions/{auction_id}/duplicate",
    "POST /api/v1/seller/auctions/{auction_id}/relist",
    "POST /api/v1/orders/{order_id}/handover/complete",
    "POST /api/v1/orders/{order_id}/confirm",
    "POST /api/v1/orders/{order_id}/refund",
    "POST /api/v1/orders/{order_id}/messages",
    "POST /api/v1/auctions/{auction_id}/questions",
    "POST /api/v1/admin/disputes/{order_id}/resolve",
    "POST /api/v1/admin/adjustments",
    "POST /api/v1/admin/adjustments/{adjustment_id}/confirm",
}
BY_REF = {
    "POST /api/v1/auctions/{auction_id}/bids",
    "POST /api/v1/auctions/{auction_id}/purchase",
}
"""Rules and scripts know the key again, as the bid's `ref`: no answer is kept beside the bid."""


@pytest.fixture
def auction(sync_database: SyncDatabase) -> UUID:
    with sync_database.transaction() as session:
        return make_published_auction(session).id


@pytest.fixture
def key() -> dict[str, str]:
    """The header with a key that nobody has used."""
    return {"Idempotency-Key": f'"{uuid4()}"'}


def same(first: Answer, second: Answer) -> bool:
    """Whether two answers say the same."""
    names = ("Location", "Content-Type", "ETag")
    headers = [[answer.headers.get(name) for name in names] for answer in (first, second)]
    return (first.status, first.body) == (second.status, second.body) and headers[0] == headers[1]


def test_exactly_what_moves_money_heeds_the_key() -> None:
    declared = {
        f"{method} {path}": (operation.idempotent, "use_once" in getsource(getattr(handler, method.lower())))
        for path, method, handler, operation in operations(ROUTES)
    }
    assert {name for name, (idempotent, _) in declared.items() if idempotent} == MOVE_MONEY | BY_REF
    assert {name for name, (_, used) in declared.items() if used} == MOVE_MONEY


async def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(
    person: People, auction: UUID, key: dict[str, str]
) -> None:
    buyer = person(funds=10_000)
    path = f"/auctions/{auction}/paddle"
    taken = await buyer.call("POST", path, {"limit": 2_000}, headers=key)
    assert (taken.status, taken.body["version"]) == (201, 1)
    await buyer.done("PATCH", path, {"limit": 3_000}, version=1)
    assert same(taken, await buyer.call("POST", path, {"limit": 2_000}, headers=key))
    assert (await buyer.get(path))["limit"] == 3_000
    assert await buyer.get("/wallet") == {"available": 7_000, "held": 3_000}


async def test_a_limit_is_raised_once(person: People, auction: UUID, key: dict[str, str]) -> None:
    buyer = person(funds=10_000)
    path = f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 2_000})
    raised = await buyer.call("PATCH", path, {"limit": 3_000}, version=1, headers=key)
    assert same(raised, await buyer.call("PATCH", path, {"limit": 3_000}, version=1, headers=key))
    assert await buyer.refused("PATCH", path, {"limit": 3_000}, version=1) == "precondition_failed"
    assert await buyer.refused("PATCH", path, {"limit": 3_000}, version=2) == "limit_not_raised"


async def test_publishing_again_is_no_error(
    person: People, key: dict[str, str], sync_database: SyncDatabase
) -> None:
    seller = person()
    with sync_database.transaction() as session:
        draft = listings.create(session, seller.user_id, a_draft())
    path = f"/seller/auctions/{draft.id}/publish"
    published = await seller.call("POST", path, headers=key)
    assert same(published, await seller.call("POST", path, headers=key))
    assert await seller.refused("POST", path) == "wrong_state"


async def test_a_draft_is_written_once(person: People, key: dict[str, str]) -> None:
    seller, body = person(), draft()
    first = await seller.call("POST", "/seller/auctions", body, headers=key)
    assert first.headers["Location"] == f"/api/v1/auctions/{first.body['id']}"
    assert same(first, await seller.call("POST", "/seller/auctions", body, headers=key))
    assert [view["id"] for view in await seller.items("/seller/auctions", 10)] == [first.body["id"]]
    other = body | {"title": "Another one"}
    assert await seller.refused("POST", "/seller/auctions", other, headers=key) == "idempotency_key_reused"


async def test_a_top_up_is_answered_again(person: People, key: dict[str, str]) -> None:
    ann = person()
    body = {"id": str(uuid4()), "amount": 700}
    first = await ann.call("POST", "/wallet/top-ups", body, headers=key)
    await ann.post("/wallet/top-ups", {"id": str(uuid4()), "amount": 1})
    assert same(first, await ann.call("POST", "/wallet/top-ups", body, headers=key))
    assert (await ann.get("/wallet"))["available"] == 701


async def test_a_key_names_one_request(person: People, auction: UUID, key: dict[str, str]) -> None:
    ann = person(funds=10_000)
    body = {"id": str(uuid4()), "amount": 1}
    await ann.call("POST", "/wallet/top-ups", body, headers=key)
    others: list[tuple[str, str, object]] = [
        ("POST", "/wallet/top-ups", body | {"amount": 2}),
        ("POST", f"/auctions/{auction}/paddle", {"limit": 1_000}),
    ]
    for method, path, other in others:
        assert await ann.refused(method, path, other, headers=key) == "idempotency_key_reused"
    assert await ann.get("/wallet") == {"available": 10_001, "held": 0}


async def test_a_key_belongs_to_its_user(person: People, key: dict[str, str]) -> None:
    for client in (person(), person()):
        body = {"id": str(uuid4()), "amount": 700}
        assert (await client.call("POST", "/wallet/top-ups", body, headers=key)).status == 201
        assert (await client.get("/wallet"))["available"] == 700


async def test_quotes_around_the_key_make_no_difference(person: People) -> None:
    ann, body, key = person(), {"id": str(uuid4()), "amount": 700}, uuid4().hex
    first = await ann.call("POST", "/wallet/top-ups", body, headers={"Idempotency-Key": key})
    again = await ann.call("POST", "/wallet/top-ups", body, headers={"Idempotency-Key": f'"{key}"'})
    assert same(first, again)


async def test_while_the_first_request_runs_the_second_is_told_so(
    person: People, key: dict[str, str], sync_database: SyncDatabase
) -> None:
    ann = person()
    claim = idempotency.IdempotencyClaim(ann.user_id, key["Idempotency-Key"].strip('"'), b"")
    body = {"id": str(uuid4()), "amount": 700}
    with sync_database.transaction() as session:
        idempotency.once(session, claim, 201, lambda _: Wallet(0, 0))
        code = await ann.refused("POST", "/wallet/top-ups", body, headers=key)
        assert code == "idempotency_in_flight"
        session.rollback()
    assert (await ann.call("POST", "/wallet/top-ups", body, headers=key)).status == 201


async def test_of_many_at_once_one_has_an_effect(person: People, auction: UUID, key: dict[str, str]) -> None:
    buyer = person(funds=10_000)
    path = f"/auctions/{auction}/paddle"
    await buyer.post(path, {"limit": 2_000})
    sent = [buyer.call("PATCH", path, {"limit": 3_000}, version=1, headers=key) for _ in range(8)]
    answers = await gather(*sent)
    done = [answer.body for answer in answers if answer.status == 200]
    assert done
    assert done == [done[0]] * len(done)
    assert {answer.body["code"] for answer in answers if answer.status != 200} <= {"idempotency_in_flight"}
    assert (await buyer.get(path))["version"] == 2


async def test_a_refusal_is_not_kept(person: People, auction: UUID, key: dict[str, str]) -> None:
    buyer, path = person(), f"/auctions/{auction}/paddle"
    assert await buyer.refused("POST", path, {"limit": 700}, headers=key) == "insufficient_funds"
    await buyer.post("/wallet/top-ups", {"id": str(uuid4()), "amount": 700})
    assert (await buyer.call("POST", path, {"limit": 700}, headers=key)).status == 201


@pytest.mark.parametrize("value", ["", '""', "a b", 'a"b', "a\\b", "ä", "x" * 256])
async def test_a_key_is_visible_ascii(person: People, value: str) -> None:
    ann: Client = person()
    body = {"id": str(uuid4()), "amount": 700}
    code = await ann.refused("POST", "/wallet/top-ups", body, headers={"Idempotency-Key": value})
    assert code == "invalid_idempotency_key"
    assert (await ann.get("/wallet"))["available"] == 0
