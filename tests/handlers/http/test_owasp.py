"""The OWASP API Security Top 10 (2023), risk by risk, driven by the routes: a new one has to say what holds for it.

What the gateway does against these risks is tested in tests/gateway.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import time
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from handlers.http.openapi import document, operations
from handlers.routes import ROUTES
from market import increments
from market.accounts import blocks, sessions
from market.accounts.sessions import Lifetime, LogIn, RefreshToken
from market.bidding import paddles
from market.listings import (
    listings,
    photos,
    questions,
    watches,
)
from market.listings.listings import Place
from market.notifications import push_subscriptions
from market.orders import handovers, orders
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from market.rules import MAX_AMOUNT
from store.database import SyncDatabase
from store.models import Role
from tests.support.client import Client, People
from tests.support.endpoints import BODIES, NOWHERE, P256DH
from tests.support.factories import (
    YEOKSAM,
    a_draft,
    make_notification,
    make_order,
    make_published_auction,
    make_user,
)

REPO = Path(__file__).parents[3]
OPERATIONS = list(operations(ROUTES))
EDITS = {f"{method} {path}" for path, method, _, operation in OPERATIONS if operation.edits}
DOCUMENT = json.loads(document(ROUTES))

OK = "ok"
USERS = ("seller", "buyer", "other", "guest")
Row = dict[str, tuple[str, str, str, str]]
MATRIX: dict[str, Row] = {
    # What each of USERS gets, by object.
    "GET /api/v1/auctions/{auction_id}": {
        "draft": (OK, "not_found", "not_found", "not_found"),
        "published": (OK, OK, OK, OK),
    },
    "GET /api/v1/auctions/{auction_id}/bids": {
        "draft": ("not_found", "not_found", "not_found", "not_found"),
        "published": (OK, OK, OK, OK),
    },
    "GET /api/v1/auctions/{auction_id}/prices": {
        "draft": ("not_found", "not_found", "not_found", "not_found"),
        "published": (OK, OK, OK, OK),
    },
    "POST /api/v1/auctions/{auction_id}/bids": {
        "draft": ("not_found", "not_found", "not_found", "unauthenticated"),
        "local": ("own_auction", OK, "not_a_neighbour", "unauthenticated"),
    },
    "POST /api/v1/auctions/{auction_id}/purchase": {
        "draft": ("not_found", "not_found", "not_found", "unauthenticated"),
        "local": ("own_auction", "no_buy_now", "no_buy_now", "unauthenticated"),
    },
    "POST /api/v1/seller/auctions/{auction_id}/publish": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
    },
    "POST /api/v1/seller/auctions/{auction_id}/cancel": {
        "draft": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
        "local": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "PATCH /api/v1/seller/auctions/{auction_id}": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
        "local": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "DELETE /api/v1/seller/auctions/{auction_id}": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
    },
    "POST /api/v1/seller/auctions/{auction_id}/duplicate": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "POST /api/v1/seller/auctions/{auction_id}/relist": {
        "draft": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
    },
    "POST /api/v1/auctions/{auction_id}/paddle": {
        "draft": ("not_found", "not_found", "not_found", "unauthenticated"),
        "published": ("own_auction", OK, OK, "unauthenticated"),
    },
    "GET /api/v1/auctions/{auction_id}/paddle": {
        "draft": ("no_paddle", "no_paddle", "no_paddle", "unauthenticated"),
        "published": ("no_paddle", OK, "no_paddle", "unauthenticated"),
    },
    "PATCH /api/v1/auctions/{auction_id}/paddle": {
        "draft": ("no_paddle", "no_paddle", "no_paddle", "unauthenticated"),
        "published": ("no_paddle", OK, "no_paddle", "unauthenticated"),
    },
    "DELETE /api/v1/auctions/{auction_id}/paddle": {
        "draft": ("no_paddle", "no_paddle", "no_paddle", "unauthenticated"),
        "published": ("no_paddle", OK, "no_paddle", "unauthenticated"),
    },
    "POST /api/v1/auctions/{auction_id}/photos": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
        "local": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "GET /api/v1/auctions/{auction_id}/photos": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "PUT /api/v1/auctions/{auction_id}/photos": {
        "draft": (OK, "forbidden", "forbidden", "unauthenticated"),
        "published": ("wrong_state", "forbidden", "forbidden", "unauthenticated"),
        "local": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "GET /api/v1/photos/{photo_id}": {
        "photo": (OK, "not_found", "not_found", "unauthenticated"),
        "avatar": (OK, "not_found", "not_found", "unauthenticated"),
    },
    "DELETE /api/v1/photos/{photo_id}": {
        "photo": (OK, "not_found", "not_found", "unauthenticated"),
        "avatar": (OK, "not_found", "not_found", "unauthenticated"),
    },
    "POST /api/v1/photos/{photo_id}/complete": {
        "photo": ("not_uploaded", "not_found", "not_found", "unauthenticated"),
        "avatar": ("not_uploaded", "not_found", "not_found", "unauthenticated"),
    },
    # Its address is the permission, no matter who sends it.
    "POST /api/v1/uploads/{photo_id}": {"photo": ("invalid_query",) * 4},
    "GET /api/v1/regions/{code}": {"region": (OK, OK, OK, OK)},
    "DELETE /api/v1/notifications/push-subscriptions/{subscription_id}": {
        "subscription": (OK, "not_found", "not_found", "unauthenticated"),
    },
    "DELETE /api/v1/me/neighbourhoods/{neighbourhood_id}": {
        "neighbourhood": ("not_found", OK, "not_found", "unauthenticated"),
    },
    "GET /api/v1/orders/{order_id}": {"order": (OK, OK, "not_found", "unauthenticated")},
    "DELETE /api/v1/me/sessions/{session_id}": {"session": (OK, "not_found", "not_found", "unauthenticated")},
    "POST /api/v1/orders/{order_id}/handover/proposals": {
        "order": (OK, OK, "not_found", "unauthenticated"),
        "completed": ("wrong_state", "wrong_state", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/handover/accept": {
        "order": ("stale_proposal", "stale_proposal", "not_found", "unauthenticated"),
        "proposed": ("own_proposal", OK, "not_found", "unauthenticated"),
    },
    "GET /api/v1/orders/{order_id}/handover/code": {
        "order": ("forbidden", "wrong_state", "not_found", "unauthenticated"),
        "agreed": ("forbidden", OK, "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/handover/complete": {
        "order": ("wrong_state", "forbidden", "not_found", "unauthenticated"),
        "agreed": ("wrong_code", "forbidden", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/no-show": {
        "order": ("wrong_state", "wrong_state", "not_found", "unauthenticated"),
        "agreed": ("too_early", "too_early", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/no-show/contest": {
        "agreed": ("wrong_state", "wrong_state", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/ship": {
        "order": (OK, "forbidden", "not_found", "unauthenticated"),
        "agreed": ("wrong_state", "forbidden", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/confirm": {
        "order": ("forbidden", "wrong_state", "not_found", "unauthenticated"),
        "shipped": ("forbidden", OK, "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/problem": {
        "order": ("forbidden", "wrong_state", "not_found", "unauthenticated"),
        "shipped": ("forbidden", OK, "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/refund": {
        "order": (OK, "forbidden", "not_found", "unauthenticated"),
        "completed": ("wrong_state", "forbidden", "not_found", "unauthenticated"),
    },
    "POST /api/v1/orders/{order_id}/messages": {"order": (OK, OK, "not_found", "unauthenticated")},
    "GET /api/v1/orders/{order_id}/messages": {"order": (OK, OK, "not_found", "unauthenticated")},
    "POST /api/v1/orders/{order_id}/messages/read": {"order": (OK, OK, "not_found", "unauthenticated")},
    "POST /api/v1/orders/{order_id}/review": {
        "order": ("wrong_state", "wrong_state", "not_found", "unauthenticated"),
        "completed": (OK, OK, "not_found", "unauthenticated"),
    },
    "POST /api/v1/notifications/{notification_id}/read": {
        "notification": (OK, "not_found", "not_found", "unauthenticated"),
    },
    "GET /api/v1/auctions/{auction_id}/questions": {
        "draft": ("not_found", "not_found", "not_found", "not_found"),
        "published": (OK, OK, OK, OK),
    },
    "POST /api/v1/auctions/{auction_id}/questions": {
        "draft": ("not_found", "not_found", "not_found", "unauthenticated"),
        "published": ("own_auction", OK, OK, "unauthenticated"),
    },
    "PUT /api/v1/questions/{question_id}/answer": {
        "question": (OK, "forbidden", "forbidden", "unauthenticated"),
    },
    "DELETE /api/v1/questions/{question_id}": {
        "question": ("forbidden", OK, "forbidden", "unauthenticated"),
    },
    "PUT /api/v1/me/watches/{auction_id}": {
        "draft": ("not_found", "not_found", "not_found", "unauthenticated"),
        "published": (OK, OK, OK, "unauthenticated"),
    },
    "DELETE /api/v1/me/watches/{auction_id}": {"published": (OK, OK, OK, "unauthenticated")},
    "GET /api/v1/users/{user_id}": {"user": (OK, OK, OK, OK)},
    "GET /api/v1/users/{user_id}/reviews": {"user": (OK, OK, OK, OK)},
    "PUT /api/v1/me/blocks/{user_id}": {"user": (OK, OK, OK, "unauthenticated")},
    "DELETE /api/v1/me/blocks/{user_id}": {
        "block": (OK, "not_found", "not_found", "unauthenticated"),
    },
}
LISTS = {
    # Whose things each list shows: everybody's public ones, or only the caller's own; MATRIX says who sees those
    # of an object, and tests.handlers.moderation.test_admin who sees those for admins.
    "GET /api/v1/auctions": "public",
    "GET /api/v1/auctions/{auction_id}/bids": "public",
    "GET /api/v1/auctions/{auction_id}/questions": "public",
    "GET /api/v1/regions": "public",
    "GET /api/v1/seller/auctions": "own",
    "GET /api/v1/seller/orders": "own",
    "GET /api/v1/seller/questions": "own",
    "GET /api/v1/buyer/orders": "own",
    "GET /api/v1/buyer/bids": "own",
    "GET /api/v1/me/blocks": "own",
    "GET /api/v1/notifications": "own",
    "GET /api/v1/me/watches": "own",
    "GET /api/v1/orders/{order_id}/messages": "of the object",
    "GET /api/v1/users/{user_id}/reviews": "public",
    "GET /api/v1/admin/audit": "admins",
    "GET /api/v1/admin/deliveries/dead": "admins",
    "GET /api/v1/admin/disputes": "admins",
    "GET /api/v1/admin/announcements": "admins",
    "GET /api/v1/admin/reports": "admins",
    "GET /api/v1/admin/fraud-signals": "admins",
    "GET /api/v1/admin/reports/{report_id}": "admins",
    "GET /api/v1/admin/adjustments": "admins",
    "GET /api/v1/admin/users": "admins",
}
PHOTO_BODIES: dict[str, dict[str, Any]] = {
    "POST": {"size": 1_000, "content_type": "image/jpeg"},
    "PUT": {"photos": []},
}
ORDER_BODIES: dict[str, dict[str, Any]] = {
    "proposals": {"place": "The fountain", "meet_at": int(time() * 1000) + 3_600_000},
    "accept": {"proposal": 1},
    "complete": {"code": "000000"},
    "ship": {"carrier": "A carrier", "tracking_number": "1234"},
    "problem": {"text": "It is broken."},
    "messages": {"text": "Hello."},
    "read": {"number": 1},
    "review": {"stars": 5},
}
"""By the last word of the address."""
LIMITS = {"POST": 2_000, "PATCH": 3_000}
"""What `buyer` asks of the paddle, which has a limit of 2,000."""


class World:
    """A seller, a buyer with a paddle and an order, somebody else, and a guest."""

    def __init__(self, database: SyncDatabase, person: People, guest: Client) -> None:
        self._database = database
        self.users = {"seller": person(), "buyer": person(9_000), "other": person(9_000), "guest": guest}

    def make(self, name: str) -> UUID | str:
        """The id of an object of this kind."""
        if name == "region":
            return "11680"
        seller, buyer = self.users["seller"].user_id, self.users["buyer"].user_id
        with self._database.transaction() as session:
            if name == "session":
                return sessions.open_session(session, seller, RefreshToken.new(), Lifetime(3600, 3600))
            if name == "draft":
                return listings.create(session, seller, a_draft()).id
            if name == "notification":
                return make_notification(session, seller)
            if name == "photo":
                draft = listings.create(session, seller, a_draft()).id
                return photos.announce_upload(session, seller, draft, 1_000, "image/jpeg")
            if name == "subscription":
                endpoint = f"https://push.example/{uuid4()}"
                opened = sessions.open_session(session, seller, RefreshToken.new(), Lifetime(3600, 3600))
                log_in = LogIn(seller, opened)
                return push_subscriptions.add(
                    session, log_in.user_id, log_in.session_id, endpoint, P256DH, bytes(16), False
                ).id
            if name == "avatar":
                return photos.announce_avatar(session, seller, 1_000, "image/jpeg")
            if name == "neighbourhood":
                return neighbourhoods.verify(session, buyer, 37.5006, 127.0364, 20.0).id
            if name == "local":
                home, _ = (neighbourhoods.verify(session, user, *YEOKSAM, 20.0) for user in (seller, buyer))
                return make_published_auction(session, seller, place=Place(home.id, Radius.NEAR)).id
            if name == "published":
                auction = make_published_auction(session, seller)
                paddles.take(session, buyer, auction.id, LIMITS["POST"])
                return auction.id
            if name == "watch":
                watches.put(session, seller, make_published_auction(session).id)
            if name == "question":
                about = make_published_auction(session, seller).id
                return questions.ask(session, buyer, about, "Is it still there?").id
            if name in ("user", "block"):
                user = make_user(session)
                if name == "block":
                    blocks.put(session, seller, user)
                return user
            order = make_order(session, seller, buyer).id
            if name in ("proposed", "agreed"):
                handovers.propose(session, seller, order, **ORDER_BODIES["proposals"])
                if name == "agreed":
                    handovers.accept(session, buyer, order, 1)
            if name in ("shipped", "completed"):
                orders.ship(session, seller, order, **ORDER_BODIES["ship"])
                if name == "completed":
                    orders.confirm(session, buyer, order)
            return order


@pytest.fixture
def world(sync_database: SyncDatabase, some_regions: None, person: People, guest: Client) -> World:
    return World(sync_database, person, guest)


def cells() -> Iterator[tuple[str, str, str, str]]:
    for endpoint, row in MATRIX.items():
        for name, outcomes in row.items():
            for user, outcome in zip(USERS, outcomes, strict=True):
                yield endpoint, name, user, outcome


@pytest.mark.parametrize(("endpoint", "name", "user", "outcome"), list(cells()))
async def test_api1_object_level_authorization(
    world: World, endpoint: str, name: str, user: str, outcome: str
) -> None:
    method, template = endpoint.split()
    path = re.sub(r"\{\w+\}", str(world.make(name)), template)
    client = world.users[user]
    body: dict[str, Any] = {"limit": LIMITS[method]} if method in LIMITS else {}
    if "/seller/" in template:
        body = {"title": "Another title"} if method == "PATCH" else {}
    if template.endswith("/bids"):
        body = {"maximum": 5_000}
    if template.endswith("/cancel"):
        body = {}
    if template.endswith("/photos"):
        body = PHOTO_BODIES.get(method, {})
    if "question" in template:
        body = {"text": "Is it still there?"}
    if "/orders/" in template:
        body = ORDER_BODIES.get(template.rpartition("/")[2], {})
    version = 1 if endpoint in EDITS else None
    answer = await client.call(method, path, body, version=version)
    assert (OK if answer.status < 300 else answer.body["code"]) == outcome


def test_api1_every_operation_on_an_object_is_in_the_matrix() -> None:
    # Those that want a role have the like in tests.handlers.moderation.test_admin.
    with_ids = {
        f"{method} {path}"
        for path, method, _, operation in OPERATIONS
        if operation.ids and operation.role == Role.USER
    }
    assert with_ids == set(MATRIX)


def test_api1_it_is_known_whose_things_every_list_shows() -> None:
    lists = {
        f"{method} {path}"
        for path, method, _, operation in OPERATIONS
        if operation.query is not None and "cursor" in operation.query.__struct_fields__
    }
    assert lists == set(LISTS)


@pytest.mark.parametrize("endpoint", [endpoint for endpoint, whose in LISTS.items() if whose == "own"])
async def test_api1_lists_of_own_things_show_no_others(world: World, endpoint: str) -> None:
    for name in ("draft", "published", "order", "block", "question", "watch", "notification"):
        world.make(name)
    await world.users["buyer"].post(f"/auctions/{world.make('local')}/bids", {"maximum": 1_000})
    path = endpoint.removeprefix("GET ")
    assert await world.users["other"].items(path, 100) == []
    owner = "buyer" if "buyer" in path else "seller"
    assert await world.users[owner].items(path, 100) != []


async def test_api1_a_cursor_of_another_user_opens_nothing(world: World, person: People) -> None:
    seller, other = world.users["seller"], world.users["other"]
    for _ in range(3):
        world.make("draft")
    cursor = (await seller.get("/seller/auctions?limit=1"))["next_cursor"]
    assert (await other.get(f"/seller/auctions?cursor={cursor}"))["items"] == []


PRIVATE = [
    (method, re.sub(r"\{\w+\}", NOWHERE, path))
    for path, method, handler, _ in OPERATIONS
    if not handler.is_public(method)
]


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_api2_authentication_is_by_a_valid_token_in_the_header(
    guest: Client, person: People, method: str, path: str
) -> None:
    ann, expired, gone = person(), person(session_ttl_s=0), person()
    await gone.post("/auth/logout")
    assert ann.token is not None
    attempts: list[tuple[str, dict[str, str]]] = [
        (path, {}),
        (f"{path}?access_token={ann.token}&token={ann.token}", {}),
        (path, {"Cookie": f"token={ann.token}; session={ann.token}"}),
        (path, {"X-User-Id": str(ann.user_id), "X-Forwarded-User": str(ann.user_id)}),
        *(
            (path, {"Authorization": value})
            for value in (
                "",
                "Bearer",
                "Bearer ",
                "Basic Og==",
                f"Basic {ann.token}",
                f"Bearer {ann.token[:-1]}",
                f"Bearer {ann.token[:-1]}{'A' if ann.token[-1] != 'A' else 'B'}",
                f"Bearer {ann.token},{ann.token}",
                "Bearer eyJhbGciOiJub25lIn0.e30.",
                f"Bearer {expired.token}",
                f"Bearer {gone.token}",
            )
        ),
    ]
    for address, headers in attempts:
        assert await guest.refused(method, address, {}, headers=headers) == "unauthenticated", headers


def server_owned(operation_body: type[msgspec.Struct]) -> list[str]:
    """Every field that any answer has, and what attackers guess, unless the body may have it."""
    answered = {
        name for schema in DOCUMENT["components"]["schemas"].values() for name in schema.get("properties", {})
    }
    guessed = {"role", "roles", "is_admin", "admin", "balance", "owner_id", "user_id", "version", "verified"}
    return sorted((answered | guessed) - set(operation_body.__struct_fields__))


@pytest.mark.parametrize("endpoint", BODIES)
async def test_api3_fields_of_the_server_cannot_be_assigned(person: People, endpoint: str) -> None:
    method, path = endpoint.split()
    [body_type] = [
        operation.body
        for template, verb, _, operation in OPERATIONS
        if f"{verb} {re.sub(r'{.*}', NOWHERE, template)}" == f"{method} /api/v1{path}" and operation.body
    ]
    ann = person(role=Role.ADMIN)
    for name in server_owned(body_type):
        answer = await ann.call(method, path, BODIES[endpoint] | {name: 1})
        assert answer.body["code"] == "invalid_body"
        assert answer.body["errors"] == [{"field": name, "detail": "unknown field"}]


async def test_api3_what_others_see_of_a_person_is_the_display_name(world: World, guest: Client) -> None:
    seller = world.users["seller"]
    profile = await seller.get("/me")
    shown = await guest.get(f"/auctions/{world.make('published')}")
    assert profile["email"] not in str(shown)
    assert str(world.users["buyer"].user_id) not in str(shown)


def schemas_of_requests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property and parameter that a client can send, with its name."""
    names = {op.body.__name__ for *_, op in OPERATIONS if op.body is not None} | {"NewSoftClose"}
    for name in names:
        yield from DOCUMENT["components"]["schemas"][name]["properties"].items()
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                yield parameter["name"], parameter["schema"]


def test_api4_every_text_in_a_request_is_bounded() -> None:
    seen = 0
    for name, schema in schemas_of_requests():
        for choice in [schema, *schema.get("anyOf", [])]:
            if choice.get("type") == "string":
                seen += 1
                bounded = "maxLength" in choice or "enum" in choice or choice.get("format") == "uuid"
                assert bounded or re.search(r"\{\d+,\d+\}", choice.get("pattern", "")), name
    assert seen > 10


@pytest.mark.parametrize(
    "path", [path for path, _, _, op in OPERATIONS if op.query and "limit" in op.query.__struct_fields__]
)
async def test_api4_a_page_is_bounded(person: People, path: str) -> None:
    address = re.sub(r"\{\w+\}", NOWHERE, path)
    for limit in ("101", "1000000", str(MAX_AMOUNT), "-1", "0"):
        assert await person(role=Role.ADMIN).refused("GET", f"{address}?limit={limit}") == "invalid_query"


async def test_api4_a_table_of_increments_is_bounded(person: People) -> None:
    steps = [[step * 10, 1] for step in range(increments.MAX_STEPS + 1)]
    body = BODIES["POST /seller/auctions"] | {"increments": steps}
    answer = await person().call("POST", "/seller/auctions", body)
    assert (answer.body["code"], answer.body["field"]) == ("invalid_auction", "increments")


async def test_api5_functions_of_development_are_gone_in_production(
    person: People, change_services: Callable[..., None]
) -> None:
    change_services(development=False)
    body = {"id": str(uuid4()), "amount": 1}
    assert await person().refused("POST", "/wallet/top-ups", body) == "not_available"


@pytest.mark.parametrize("path", ["/admin", "/users", "/internal", "/debug", "/../metrics"])
async def test_api5_no_function_hides_behind_a_guessed_address(person: People, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert await person().refused(method, path, {}) == "not_found"


async def test_api5_a_method_in_another_header_is_ignored(world: World) -> None:
    buyer, path = world.users["buyer"], f"/auctions/{world.make('published')}/paddle"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        answer = await buyer.call("GET", f"{path}?_method=DELETE", headers={name: "DELETE"})
        assert answer.body["status"] == "active"


async def test_api6_nobody_bids_on_their_own_auction_or_with_money_that_is_not_there(world: World) -> None:
    path = f"/auctions/{world.make('published')}/paddle"
    assert await world.users["seller"].refused("POST", path, {"limit": 1}) == "own_auction"
    assert await world.users["other"].refused("POST", path, {"limit": 9_001}) == "insufficient_funds"


async def test_api6_the_same_money_backs_one_paddle_only(world: World) -> None:
    other = world.users["other"]
    await other.post(f"/auctions/{world.make('published')}/paddle", {"limit": 5_000})
    path = f"/auctions/{world.make('published')}/paddle"
    assert await other.refused("POST", path, {"limit": 5_000}) == "insufficient_funds"


def test_api7_one_request_takes_an_address_that_we_send_to() -> None:
    """That of a browser's push service: tests/tasks/senders/test_web_push.py has what it cannot make us do."""
    for name, schema in schemas_of_requests():
        if name == "endpoint":
            continue
        assert not re.search(r"ur[il]|link|href|callback|webhook|host|endpoint", name, re.IGNORECASE)
        assert "uri" not in str(schema.get("format", ""))


@pytest.mark.parametrize("raw", [b"", b"{", b"[" * 5_000, b'{"email": "\\u0000"}', b"\xff\xfe"])
async def test_api8_broken_input_tells_nothing_about_the_inside(guest: Client, raw: bytes) -> None:
    answer = await guest.call("POST", "/auth/login", raw=raw)
    assert answer.status in (400, 422)
    assert not re.search(r"Traceback|File \"|\.py|psycopg|sqlalchemy|msgspec|tornado", str(answer.body))


async def test_api8_nothing_may_be_stored_by_a_cache(person: People) -> None:
    for path in ("/me", "/wallet", "/auctions"):
        assert (await person().call("GET", path)).headers["Cache-Control"] == "no-store"


def test_api9_every_address_has_a_version_and_stands_in_the_document() -> None:
    documents = {"/api/openapi.json", "/api/asyncapi.json", "/api/docs"}
    assert {path for path, *_ in OPERATIONS} == set(DOCUMENT["paths"])
    assert all(path.startswith("/api/v1/") for path in set(DOCUMENT["paths"]) - documents)


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_api10_no_door_trusts_another_api() -> None:
    """Of a push service only the status counts."""
    clients = {
        "requests",
        "httpx",
        "aiohttp",
        "urllib3",
        "urllib.request",
        "http.client",
        "tornado.httpclient",
        "tornado.simple_httpclient",
    }
    sources = [
        path
        for package in ("handlers", "market", "store", "tasks")
        for path in (REPO / package).rglob("*.py")
        if path != REPO / "tasks" / "senders" / "web_push.py"
    ]
    assert len(sources) > 20
    assert not {str(path): found for path in sources if (found := imports(path) & clients)}
