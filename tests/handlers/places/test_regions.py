"""Browsing the regions."""

import pytest

from tests.support.client import Client

REGION = {"code", "level", "name", "name_en", "full_name", "latitude", "longitude"}

pytestmark = pytest.mark.usefixtures("some_regions")


async def test_a_guest_walks_down_the_tree(guest: Client) -> None:
    top = await guest.items("/regions", 3)
    assert [region["name"] for region in top] == ["서울특별시", "부산광역시", "세종특별자치시", "경상북도"]
    districts = await guest.items(f"/regions?parent={top[0]['code']}", 1)
    assert [region["name_en"] for region in districts] == ["Seocho-gu", "Gangnam-gu"]
    towns = await guest.items(f"/regions?parent={districts[1]['code']}", 2)
    assert [region["full_name"].split()[-1] for region in towns] == ["역삼동", "대치동", "압구정동"]
    assert all(set(region) == REGION for region in top + districts + towns)
    assert [region["level"] for region in (top[0], districts[0], towns[0])] == [
        "sido",
        "sigungu",
        "eupmyeondong",
    ]


async def test_a_name_finds_regions_page_by_page(guest: Client) -> None:
    found = await guest.items("/regions?q=seo", 1)
    assert [region["code"] for region in found] == ["11", "11650", "11650108"]
    [town] = await guest.items("/regions?q=%EA%B0%95%EB%82%A8%20%EC%97%AD%EC%82%BC", 20)
    assert town["full_name"] == "서울특별시 강남구 역삼동"
    assert await guest.items("/regions?q=dong&parent=26", 20) == await guest.items(
        "/regions?parent=26350", 20
    )


async def test_a_region_comes_with_those_around_it(guest: Client) -> None:
    answer = await guest.get("/regions/11680101")
    assert answer["region"]["name"] == "역삼동"
    assert [region["code"] for region in answer["ancestors"]] == ["11", "11680"]


@pytest.mark.parametrize(
    "path", ["/regions/99", "/regions/1168010", "/regions/1", "/regions/gangnam", "/regions?parent=99"]
)
async def test_an_unknown_region_is_not_found(guest: Client, path: str) -> None:
    assert await guest.refused("GET", path) == "not_found"


@pytest.mark.parametrize(
    "query", ["q=", "q=%20", "q=" + "x" * 51, "q=%00", "parent=", "parent=1", "parent=gangnam", "name=seoul"]
)
async def test_a_wrong_query_is_refused(guest: Client, query: str) -> None:
    assert await guest.refused("GET", f"/regions?{query}") == "invalid_query"


@pytest.mark.parametrize(
    "cursor", ["x", "MQ==", "bnVsbA==", "W10=", "eyJjb2RlIjoiXHUwMDAwIn0=", "eyJjb2RlIjoiIn0="]
)
async def test_a_made_up_cursor_is_refused(guest: Client, cursor: str) -> None:
    assert await guest.refused("GET", f"/regions?cursor={cursor}") == "invalid_cursor"
