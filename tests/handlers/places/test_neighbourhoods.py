"""The own neighbourhoods."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import func, update
from structlog.testing import capture_logs

from store.database import SyncDatabase
from store.models import Neighbourhood
from tests.support.client import Client, People

PATH = "/me/neighbourhoods"
YEOKSAM = {"latitude": 37.500613, "longitude": 127.036431, "accuracy_m": 18.5}
HAEUNDAE = {"latitude": 35.163127, "longitude": 129.163561, "accuracy_m": 1000}
SEJONG = {"latitude": 36.491933, "longitude": 127.311577, "accuracy_m": 0}

pytestmark = pytest.mark.usefixtures("some_regions")


async def regions(person: Client) -> list[str]:
    return [item["region"]["name"] for item in (await person.get(PATH))["items"]]


async def test_a_user_shows_a_position_and_has_a_neighbourhood(person: People) -> None:
    ann, ben = person(), person()
    answer = await ann.call("POST", PATH, YEOKSAM)
    assert answer.status == 201
    home = answer.body
    assert set(home) == {"id", "region", "verified_at", "expires_at", "expired"}
    assert home["region"]["full_name"] == "서울특별시 강남구 역삼동"
    assert (home["expires_at"] - home["verified_at"], home["expired"]) == (30 * 24 * 3600 * 1000, False)
    assert await ann.get(PATH) == {"items": [home]}
    assert await ben.get(PATH) == {"items": []}


async def test_a_third_is_refused_and_one_given_up_makes_room(person: People) -> None:
    ann = person()
    home = await ann.post(PATH, YEOKSAM)
    await ann.post(PATH, HAEUNDAE)
    assert await ann.refused("POST", PATH, SEJONG) == "too_many_neighbourhoods"
    renewed = await ann.post(PATH, YEOKSAM)
    assert (renewed["id"], renewed["expires_at"] > home["expires_at"]) == (home["id"], True)
    assert (await ann.call("DELETE", f"{PATH}/{home['id']}")).status == 204
    assert await ann.refused("DELETE", f"{PATH}/{home['id']}") == "not_found"
    await ann.post(PATH, SEJONG)
    assert await regions(ann) == ["우동", "반곡동"]


async def test_one_that_has_expired_is_shown_as_such_until_it_is_renewed(
    person: People, sync_database: SyncDatabase
) -> None:
    ann = person()
    await ann.post(PATH, YEOKSAM)
    with sync_database.transaction() as session:
        session.execute(
            update(Neighbourhood)
            .where(Neighbourhood.user_id == ann.user_id)
            .values(expires_at=func.now() - timedelta(seconds=1))
        )
    [item] = (await ann.get(PATH))["items"]
    assert item["expired"]
    assert not (await ann.post(PATH, YEOKSAM))["expired"]


async def test_nobody_reaches_the_neighbourhood_of_somebody_else(person: People, guest: Client) -> None:
    ann, ben = person(), person()
    home = await ann.post(PATH, YEOKSAM)
    assert await ben.refused("DELETE", f"{PATH}/{home['id']}") == "not_found"
    assert await guest.refused("DELETE", f"{PATH}/{home['id']}") == "unauthenticated"
    assert await regions(ann) == ["역삼동"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"accuracy_m": 1000.1}, "position_too_vague"),
        ({"latitude": 35.676211, "longitude": 139.650327}, "outside_regions"),
        ({"latitude": 127.0, "longitude": 37.5}, "invalid_body"),
        ({"latitude": -90.1}, "invalid_body"),
        ({"longitude": 180.1}, "invalid_body"),
        ({"longitude": "127.0"}, "invalid_body"),
        ({"accuracy_m": -1}, "invalid_body"),
        ({"accuracy_m": None}, "invalid_body"),
        ({"altitude": 12.0}, "invalid_body"),
    ],
)
async def test_a_useless_position_is_refused_and_changes_nothing(
    person: People, change: dict[str, object], code: str
) -> None:
    ann = person()
    assert await ann.refused("POST", PATH, YEOKSAM | change) == code
    assert await regions(ann) == []


async def test_no_answer_and_no_log_has_the_position(person: People) -> None:
    ann = person()
    with capture_logs() as logs:
        answers = [
            await ann.call("POST", PATH, body)
            for body in (
                YEOKSAM,
                YEOKSAM | {"accuracy_m": 5_000},
                YEOKSAM | {"latitude": 91.500613},
                YEOKSAM | {"longitude": 139.036431},
                YEOKSAM | {"surprise": 1},
            )
        ]
    assert [answer.status for answer in answers] == [201, 422, 422, 422, 422]
    assert not re.search(r"500613|036431", str(logs) + str([answer.body for answer in answers]))


async def test_positions_are_shown_ten_times_a_day_at_most(
    person: People, change_services: Callable[..., None]
) -> None:
    change_services(quota_factor=1)
    ann = person()
    for _ in range(10):
        answer = await ann.call("POST", PATH, YEOKSAM)
        assert answer.headers["RateLimit-Policy"] == '"neighbourhood";q=10;w=86400'
    assert await ann.refused("POST", PATH, YEOKSAM) == "rate_limited"
    assert await regions(ann) == ["역삼동"]
