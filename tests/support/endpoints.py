"""What the tests know of the endpoints: a path of each, a valid body for each, and who may call it."""

from time import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from handlers.http.base import UUID_PATTERN
from handlers.http.openapi import operations
from handlers.listings import categories
from handlers.places.regions import CODE_PATTERN
from handlers.routes import ROUTES
from store.models import Role
from tests.support.factories import MINUTE_MS, NOBODYS_ID

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
    f"POST /admin/disputes/{NOWHERE}/resolve": {"outcome": "refund", "reason": "A reason"},
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
    f"POST /admin/fraud-signals/{NOWHERE}/review": {"reason": "A test"},
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

OPERATIONS = [
    (method, path, operation.role)
    for path, method, _, operation in operations(ROUTES)
    if operation.role != Role.USER
]
"""What needs more than a user's role: method, path and role."""

P256DH = (
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
)


def example(pattern: str) -> str:
    """A path that the pattern of a route matches, as the client takes it."""
    examples = {UUID_PATTERN: NOBODYS_ID, CODE_PATTERN: "11680", categories.CODE_PATTERN: "11680"}
    for part, shown in examples.items():
        pattern = pattern.replace(part, shown)
    return pattern.removeprefix("/api/v1")


def draft(**changes: Any) -> dict[str, Any]:
    now = int(time() * 1000)
    return {
        "title": "자전거",
        "description": "Ridden twice.\nAlmost new.",
        "start_price": 1_000,
        "increments": [[0, 100], [10_000, 500]],
        "opens_at": now - MINUTE_MS,
        "ends_at": now + 60 * MINUTE_MS,
        "soft_close": {"window_ms": 30_000, "extension_ms": 20_000, "cap_ms": 600_000},
    } | changes
