"""Orders whose sides do not agree, over the API."""

from uuid import UUID, uuid4

import pytest

from market.orders import orders
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from tests.support.client import Client, People
from tests.support.factories import make_order

REFUND = {"outcome": "refund", "reason": "A reason"}


@pytest.fixture
def seller(person: People) -> Client:
    return person()


@pytest.fixture
def buyer(person: People) -> Client:
    return person()


@pytest.fixture
def order(sync_database: SyncDatabase, seller: Client, buyer: Client) -> UUID:
    """One with a problem."""
    with sync_database.transaction() as session:
        order_id = make_order(session, seller.user_id, buyer.user_id).id
        orders.ship(session, seller.user_id, order_id, "A carrier", "1")
        orders.report_problem(session, buyer.user_id, order_id, "It is broken.")
        return order_id


async def test_a_moderator_decides_an_order(
    person: People, seller: Client, buyer: Client, order: UUID
) -> None:
    moderator = person(role=Role.MODERATOR)
    case = next(case for case in await moderator.items("/admin/disputes", 100) if case["id"] == str(order))
    assert (case["problem"], case["buyer_id"]) == ("It is broken.", str(buyer.user_id))
    file = await moderator.get(f"/admin/disputes/{order}")
    assert file["dispute"] == case
    assert [event["action"] for event in file["events"]] == ["ship", "report_problem"]
    [reading] = await person(role=Role.ADMIN).items(f"/admin/audit?subject={order}", 5)
    assert (reading["action"], reading["actor_id"]) == ("read_chat", str(moderator.user_id))
    assert await moderator.refused("GET", f"/admin/disputes/{new_id()}") == "not_found"
    path, key = f"/admin/disputes/{order}/resolve", {"Idempotency-Key": str(uuid4())}
    for _ in range(2):
        answer = await moderator.call("POST", path, REFUND, headers=key)
        assert (answer.status, answer.body["state"]) == (200, "refunded")
    assert (await buyer.get("/wallet"))["available"] == 1_500
    assert (await seller.get(f"/orders/{order}"))["state"] == "refunded"
    assert await moderator.refused("POST", path, REFUND) == "wrong_state"
    assert await moderator.refused("POST", f"/admin/disputes/{new_id()}/resolve", REFUND) == "not_found"
    assert await moderator.refused("POST", path, REFUND | {"outcome": "keep"}) == "invalid_body"
    assert await moderator.refused("GET", "/admin/disputes?cursor=x") == "invalid_cursor"


async def test_moderators_do_not_decide_their_own_orders(
    person: People, sync_database: SyncDatabase, seller: Client
) -> None:
    moderator = person(role=Role.MODERATOR)
    with sync_database.transaction() as session:
        order = make_order(session, seller.user_id, moderator.user_id).id
        orders.ship(session, seller.user_id, order, "A carrier", "1")
        orders.report_problem(session, moderator.user_id, order, "It is broken.")
    assert await moderator.refused("POST", f"/admin/disputes/{order}/resolve", REFUND) == "forbidden"
