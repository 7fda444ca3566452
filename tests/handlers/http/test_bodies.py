"""What every endpoint with a body refuses, and how."""

import re
from typing import Any

import pytest

from handlers.http.openapi import operations
from handlers.routes import ROUTES
from store.models import Role
from tests.support.client import Client, People
from tests.support.endpoints import BODIES, NOWHERE

NO_OBJECTS: list[Any] = [None, 1, "text", [], [{}], True]
NO_AMOUNTS: list[Any] = [0, -1, 1.0, 1.5, 1e3, 2**53, 2**64, "1", "", True, False, None, [], {}]
OPTIONAL = {
    "POST /seller/auctions": {"increments"},
    "POST /auth/refresh": {"refresh_token"},
    "PATCH /me": {"display_name", "bio"},
    f"POST /seller/auctions/{NOWHERE}/cancel": {"reason"},
    f"PATCH /seller/auctions/{NOWHERE}": {"title", "addendum"},
    f"POST /seller/auctions/{NOWHERE}/duplicate": {"opens_at", "ends_at"},
    f"POST /seller/auctions/{NOWHERE}/relist": {"opens_at", "ends_at"},
}
AMOUNTS = [
    (endpoint, field)
    for endpoint, body in BODIES.items()
    for field in body
    if field in ("amount", "limit", "maximum", "start_price")
]
endpoints = pytest.mark.parametrize("endpoint", BODIES)


async def send(client: Client, endpoint: str, *args: Any, **kwargs: Any) -> Any:
    method, path = endpoint.split()
    return (await client.call(method, path, *args, **kwargs)).body


@endpoints
async def test_a_body_must_be_json(person: People, endpoint: str) -> None:
    ann = person(role=Role.ADMIN)
    for raw in (b"", b"{", b'{"a": 1', b"\xff", b"[" * 100_000, b'{"amount": 1e999}', b"NaN", b'"\\ud800"'):
        assert (await send(ann, endpoint, raw=raw))["code"] == "invalid_json", raw[:20]


@endpoints
async def test_a_body_must_be_an_object(person: People, endpoint: str) -> None:
    ann = person(role=Role.ADMIN)
    for value in NO_OBJECTS:
        assert (await send(ann, endpoint, value))["code"] == "invalid_body", value


@endpoints
async def test_a_body_must_be_sent_as_json(person: People, endpoint: str) -> None:
    ann = person(role=Role.ADMIN)
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
        answer = await send(ann, endpoint, BODIES[endpoint], headers={"Content-Type": media_type})
        assert answer["code"] == "unsupported_media_type", media_type


@endpoints
async def test_every_wrong_field_is_named(person: People, endpoint: str) -> None:
    wrong: dict[str, Any] = {name: {} for name in BODIES[endpoint]} | {"surprise": 1}
    answer = await send(person(role=Role.ADMIN), endpoint, wrong)
    assert answer["code"] == "invalid_body"
    assert {error["field"] for error in answer["errors"]} == set(wrong)
    for name in wrong:
        assert name in answer["detail"]


@endpoints
async def test_every_missing_field_is_named(person: People, endpoint: str) -> None:
    answer = await send(person(role=Role.ADMIN), endpoint, {"surprise": 1})
    details = {error["field"]: error["detail"] for error in answer["errors"]}
    required = BODIES[endpoint].keys() - OPTIONAL.get(endpoint, set())
    assert details == dict.fromkeys(required, "missing") | {"surprise": "unknown field"}


@endpoints
async def test_an_unknown_field_is_refused(person: People, endpoint: str) -> None:
    answer = await send(person(role=Role.ADMIN), endpoint, BODIES[endpoint] | {"surprise": 1})
    assert answer["code"] == "invalid_body"
    assert answer["errors"] == [{"field": "surprise", "detail": "unknown field"}]


@pytest.mark.parametrize(("endpoint", "field"), AMOUNTS)
async def test_an_amount_is_an_integer_from_1_to_2_53_minus_1(
    person: People, endpoint: str, field: str
) -> None:
    ann = person(role=Role.ADMIN)
    for amount in NO_AMOUNTS:
        answer = await send(ann, endpoint, BODIES[endpoint] | {field: amount})
        assert answer["code"] == "invalid_amount", amount
        assert [error["field"] for error in answer["errors"]] == [field]


async def test_unknown_fields_inside_a_field_are_refused(person: People) -> None:
    soft_close = {"window_ms": 1, "extension_ms": 1, "cap_ms": 1, "surprise": 1}
    answer = await send(
        person(role=Role.ADMIN),
        "POST /seller/auctions",
        BODIES["POST /seller/auctions"] | {"soft_close": soft_close},
    )
    assert answer["code"] == "invalid_body"
    assert [error["field"] for error in answer["errors"]] == ["soft_close"]
    assert "surprise" in answer["detail"]


async def test_people_are_not_told_patterns(guest: Client) -> None:
    body = {"email": "ann", "password": "correct horse", "display_name": " "}
    answer = await guest.call("POST", "/auth/register", body)
    assert answer.body["errors"] == [
        {"field": "email", "detail": "Expected an e-mail address in ASCII"},
        {"field": "display_name", "detail": "Expected one line of text that is not blank"},
    ]
    ann = await guest.call("GET", "/regions?q=")
    assert ann.body["detail"] == "q: Expected one line of text that is not blank"


def test_every_method_that_reads_a_body_is_tested_here() -> None:
    readers = {
        re.sub(r"\{\w+\}", NOWHERE, f"{method} {path.removeprefix('/api/v1')}")
        for path, method, _, operation in operations(ROUTES)
        if operation.body is not None
    }
    assert readers == set(BODIES)
