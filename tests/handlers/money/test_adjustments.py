"""Money that two admins move, over the API."""

from uuid import uuid4

from store.ids import new_id
from store.models import Role
from tests.support.client import People

WHY = {"reason": "A reason"}


async def test_two_admins_move_money_once(person: People) -> None:
    ann, ben, user = person(role=Role.ADMIN), person(role=Role.ADMIN), person(funds=100)
    key = {"Idempotency-Key": str(uuid4())}
    body = {"user_id": str(user.user_id), "direction": "credit", "amount": 700, **WHY}
    proposed = await ann.call("POST", "/admin/adjustments", body, headers=key)
    again = await ann.call("POST", "/admin/adjustments", body, headers=key)
    assert proposed.status == again.status == 201
    assert proposed.body == again.body
    path = f"/admin/adjustments/{proposed.body['id']}"

    assert await ann.refused("POST", f"{path}/confirm", WHY) == "own_proposal"
    assert (await user.get("/wallet"))["available"] == 100
    for _ in range(2):
        assert (await ben.post(f"{path}/confirm", WHY))["state"] == "confirmed"
    assert (await user.get("/wallet"))["available"] == 800
    assert await ben.refused("POST", f"{path}/reject", WHY) == "wrong_state"

    debit = await ann.post("/admin/adjustments", body | {"direction": "debit", "amount": 801})
    answer = await ben.call("POST", f"/admin/adjustments/{debit['id']}/confirm", WHY)
    assert answer.body["code"] == "insufficient_funds"
    assert "missing" not in answer.body
    assert (await ann.post(f"/admin/adjustments/{debit['id']}/reject", WHY))["state"] == "rejected"
    ids = [entry["id"] for entry in await ben.items("/admin/adjustments?state=rejected", 100)]
    assert debit["id"] in ids
    assert proposed.body["id"] not in ids
    assert await ben.refused("GET", "/admin/adjustments?state=x") == "invalid_query"
    assert await ben.refused("GET", "/admin/adjustments?cursor=x") == "invalid_cursor"


async def test_what_is_not_there_or_ones_own_is_refused(person: People) -> None:
    ann = person(role=Role.ADMIN)
    body = {"direction": "credit", "amount": 700, **WHY}
    assert (
        await ann.refused("POST", "/admin/adjustments", body | {"user_id": str(ann.user_id)}) == "forbidden"
    )
    assert await ann.refused("POST", "/admin/adjustments", body | {"user_id": str(new_id())}) == "not_found"
    for step in ("confirm", "reject"):
        assert await ann.refused("POST", f"/admin/adjustments/{new_id()}/{step}", WHY) == "not_found"
