"""Browsing the categories, and selling in them."""

from time import time

import pytest

from tests.support.client import Client, People
from tests.support.endpoints import BODIES

pytestmark = pytest.mark.usefixtures("all_categories")

DRAFT = BODIES["POST /seller/auctions"] | {"ends_at": int(time() * 1000) + 24 * 3_600_000}


async def test_a_guest_sees_the_tree(guest: Client) -> None:
    items = (await guest.get("/categories"))["items"]
    assert [branch["code"] for branch in items][:2] == ["digital", "appliances"]
    [phones] = [leaf for leaf in items[0]["children"] if leaf["code"] == "phones"]
    assert phones == {"code": "phones", "name": "휴대폰", "name_en": "Phones", "children": []}


async def test_a_draft_has_a_category_and_a_condition(person: People) -> None:
    seller = person()
    plain = await seller.post("/seller/auctions", DRAFT)
    assert (plain["category"], plain["condition"]) == ("other", None)
    made = await seller.post("/seller/auctions", DRAFT | {"category": "bicycles", "condition": "fair"})
    assert (made["category"], made["condition"]) == ("bicycles", "fair")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "sports"}, "invalid_auction"),
        ({"category": "no-such"}, "invalid_auction"),
        ({"category": "Bicycles"}, "invalid_body"),
        ({"category": "x" * 41}, "invalid_body"),
        ({"category": None}, "invalid_body"),
        ({"condition": "broken"}, "invalid_body"),
    ],
)
async def test_a_wrong_one_is_refused(person: People, changes: dict[str, object], code: str) -> None:
    body = DRAFT | changes
    answer = await person().call("POST", "/seller/auctions", body)
    assert answer.body["code"] == code
    field = next(iter(changes))
    named = answer.body["field"] if code == "invalid_auction" else answer.body["errors"][0]["field"]
    assert named == field
