"""What every endpoint with a body refuses, and how."""

import re
from typing import Any

import pytest

from handlers.http.openapi import operations
from handlers.routes import ROUTES
from store.models import Role
from tests.handlers.conftest import People
from tests.support.client import Client

NO_OBJECTS: list[Any] = [None, 1, "text", [], [{}], True]
NO_AMOUNTS: list[Any] = [0, -1, 1.0, 1.5, 1e3, 2**53, 2**64, "1", "", True, False, None, [], {}]
NOWHERE = "019a0000-0000-7000-8000-000000000000"
BODIES: dict[str, dict[str, Any]] = {
    "POST /auth/register": {"email": "a@example.org", "password": "0123456789", "display_name": "Ann"},
    "POST /auth/login": {"email": "a@example.org", "password": "0123456789"},
    "POST /auth/verify": {"token": "x"},
    "POST /auth/forgot": {"email": "a@example.org"},
    "POST /auth/reset": {"token": "x", "new_password": "9876543210"},
    "POST /auth/refresh": {"refresh_token": "x"},
    "POST /me/password": {"old_password": "0123456789", "new_password": "9876543210"},
    "POST /me/second-factor": {"password": "0123456789"},
    "POST /me/second-factor/confirm": {"code": "123456"},
    "POST /me/second-factor/recovery-codes": {"password": "0123456789", "code": "123456"},
    "POST /me/second-factor/disable": {"password": "0123456789", "code": "123456"},
    "PATCH /me": {"display_name": "Ann", "bio": "Sells what she does not need."},
    "POST /me/deletion": {"password": "0123456789"},
    "POST /wallet/top-ups": {"id": NOWHERE, "amount": 1},
    "POST /seller/auctions": {
        "title": "A bicycle",
        "start_price": 1_000,
        "increments": [[0, 100]],
        "ends_at": 4_000_000_000_000,
    },
    f"POST /seller/auctions/{NOWHERE}/cancel": {"reason": "Lost."},
    f"PATCH /seller/auctions/{NOWHERE}": {"title": "A desk", "addendum": "It is oak."},
    f"POST /seller/auctions/{NOWHERE}/duplicate": {
        "opens_at": 4_000_000_000_000,
        "ends_at": 4_000_100_000_000,
    },
    f"POST /seller/auctions/{NOWHERE}/relist": {"opens_at": 4_000_000_000_000, "ends_at": 4_000_100_000_000},
    "POST /me/neighbourhoods": {"latitude": 37.5, "longitude": 127.0, "accuracy_m": 20},
    f"POST /auctions/{NOWHERE}/paddle": {"limit": 5_000},
    f"PATCH /auctions/{NOWHERE}/paddle": {"limit": 5_000},
    f"POST /auctions/{NOWHERE}/bids": {"maximum": 5_000},
    "POST /me/avatar": {"size": 1_000, "content_type": "image/jpeg"},
    f"POST /orders/{NOWHERE}/handover/proposals": {"place": "The fountain", "meet_at": 4_000_000_000_000},
    f"POST /orders/{NOWHERE}/handover/accept": {"proposal": 1},
    f"POST /orders/{NOWHERE}/handover/complete": {"code": "012345"},
    f"POST /orders/{NOWHERE}/ship": {"carrier": "A carrier", "tracking_number": "1234"},
    f"POST /orders/{NOWHERE}/problem": {"text": "It is broken."},
    f"POST /orders/{NOWHERE}/messages": {"text": "Hello."},
    f"POST /orders/{NOWHERE}/messages/read": {"number": 1},
    f"POST /orders/{NOWHERE}/review": {"stars": 5},
    "POST /notifications/read": {"up_to": NOWHERE},
    "PUT /notifications/preferences": {
        "quiet_from": None,
        "quiet_until": None,
        "time_zone": "Asia/Seoul",
        "digest": "off",
        "channels": [],
    },
    f"POST /auctions/{NOWHERE}/questions": {"text": "Is it still there?"},
    f"PUT /questions/{NOWHERE}/answer": {"text": "Yes."},
    f"POST /admin/users/{NOWHERE}/warn": {"reason": "A reason"},
    f"POST /admin/users/{NOWHERE}/suspend": {"until": 4_000_000_000_000, "reason": "A reason"},
    f"POST /admin/users/{NOWHERE}/ban": {"reason": "A reason"},
    f"POST /admin/users/{NOWHERE}/unban": {"reason": "A reason"},
    f"POST /admin/users/{NOWHERE}/revoke-sessions": {"reason": "A reason"},
    f"PUT /admin/users/{NOWHERE}/role": {"role": "moderator", "reason": "A reason"},
    "POST /admin/adjustments": {
        "user_id": NOWHERE,
        "direction": "credit",
        "amount": 1,
        "reason": "A reason",
    },
    f"POST /admin/adjustments/{NOWHERE}/confirm": {"reason": "A reason"},
    f"POST /admin/adjustments/{NOWHERE}/reject": {"reason": "A reason"},
    f"POST /admin/orders/{NOWHERE}/resolve": {"outcome": "refund", "reason": "A reason"},
    "POST /notifications/push-subscriptions": {
        "endpoint": "https://push.example/1",
        "p256dh": "B" * 87,
        "auth": "A" * 22,
    },
    "POST /reports": {"kind": "user", "id": NOWHERE, "reason": "spam"},
    f"PUT /admin/categories/{NOWHERE}": {
        "parent_code": None,
        "name": "이름",
        "name_en": "A name",
        "position": 1,
        "retired": False,
        "reason": "A test",
    },
    f"PUT /admin/regions/{NOWHERE}": {
        "name": "이름",
        "name_en": "A name",
        "retired": False,
        "reason": "A test",
    },
    f"POST /admin/reports/{NOWHERE}/resolve": {"outcome": "upheld", "reason": "A test"},
    f"POST /admin/signals/{NOWHERE}/review": {"reason": "A test"},
    f"POST /admin/auctions/{NOWHERE}/cancel": {"reason": "A test"},
    "POST /admin/outages": {
        "action": NOWHERE,
        "began_at": 2_000,
        "ended_at": 1_000,
        "by_ms": 60_000,
        "reason": "A test",
    },
    f"PUT /admin/auctions/{NOWHERE}/hidden": {"hidden": True, "reason": "A test"},
    f"PUT /admin/reviews/{NOWHERE}/hidden": {"hidden": True, "reason": "A test"},
    f"PUT /admin/messages/{NOWHERE}/hidden": {"hidden": True, "reason": "A test"},
    f"PUT /admin/questions/{NOWHERE}/hidden": {"hidden": True, "reason": "A test"},
    "PUT /admin/seller-fee": {"value": {"basis_points": 300, "floor": 0, "cap": None}, "reason": "A test"},
    "PUT /admin/switches": {
        "value": {
            "registrations": True,
            "publishing": True,
            "live_bidding": True,
            "neighbourhood_bidding": True,
            "payments": True,
        },
        "reason": "A test",
    },
    "PUT /admin/increment-tables": {
        "value": {"items": [{"name": "standard", "increments": [[0, 100]]}]},
        "reason": "A test",
    },
    "POST /admin/announcements": {
        "text_ko": "공지",
        "text_en": "Notice",
        "starts_at": 1_000,
        "ends_at": 2**42,
        "reason": "A test",
    },
    f"POST /admin/announcements/{NOWHERE}/end": {"reason": "A test"},
    f"POST /auctions/{NOWHERE}/photos": {"size": 1_000, "content_type": "image/jpeg"},
    f"PUT /auctions/{NOWHERE}/photos": {"photos": []},
}
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
