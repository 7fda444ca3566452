"""Admins look after categories and regions over HTTP."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, text

from store.database import SyncDatabase
from store.models import Category, Role
from tests.support.client import Client, People

CATEGORY = {
    "parent_code": "digital",
    "name": "로봇",
    "name_en": "Robots",
    "position": 3,
    "retired": False,
    "reason": "A test",
}


@pytest.fixture
def admin(person: People) -> Client:
    return person(role=Role.ADMIN)


@pytest.fixture
def without_robots(sync_database: SyncDatabase, all_categories: None) -> Iterator[None]:
    """Other tests find the tree as it was."""
    yield
    with sync_database.transaction() as session:
        session.execute(text("SET LOCAL ROLE NONE"))
        session.execute(delete(Category).where(Category.code == "robots"))


async def leaves(guest: Client) -> set[str]:
    """The codes in `digital`."""
    [digital] = [one for one in (await guest.get("/categories"))["items"] if one["code"] == "digital"]
    return {leaf["code"] for leaf in digital["children"]}


@pytest.mark.usefixtures("without_robots")
async def test_a_category_is_there_for_everybody_at_once(admin: Client, guest: Client) -> None:
    made = await admin.done("PUT", "/admin/categories/robots", CATEGORY)
    assert made == {"code": "robots"} | {name: CATEGORY[name] for name in CATEGORY if name != "reason"}
    assert "robots" in await leaves(guest)
    await admin.done("PUT", "/admin/categories/robots", CATEGORY | {"retired": True})
    assert "robots" not in await leaves(guest)
    assert made | {"retired": True} in (await admin.get("/admin/categories"))["items"]
    answer = await admin.call("PUT", "/admin/categories/robots", CATEGORY | {"parent_code": "phones"})
    assert (answer.status, answer.body["code"], answer.body["field"]) == (
        422,
        "invalid_category",
        "parent_code",
    )


@pytest.mark.usefixtures("some_regions")
async def test_a_region_is_renamed_and_retired_for_everybody_at_once(admin: Client, guest: Client) -> None:
    body = {"name": "역삼1동", "name_en": "Yeoksam 1-dong", "retired": True, "reason": "A test"}
    original = {"name": "역삼동", "name_en": "Yeoksam-dong", "retired": False, "reason": "A test"}
    try:
        changed = await admin.done("PUT", "/admin/regions/11680101", body)
        assert changed["full_name"] == "서울특별시 강남구 역삼1동"
        assert (await guest.get("/regions/11680101"))["region"]["name"] == "역삼1동"
        towns = await guest.items("/regions?parent=11680", 20)
        assert "11680101" not in [town["code"] for town in towns]
    finally:
        await admin.done("PUT", "/admin/regions/11680101", original)
    assert await admin.refused("PUT", "/admin/regions/99", body) == "not_found"
