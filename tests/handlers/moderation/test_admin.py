"""The Admin API: who may call it, and the audit log."""

import json
import re
from typing import Any
from uuid import UUID

import pytest

from handlers.http.openapi import document
from handlers.routes import ROUTES
from market import audit
from market.accounts import accounts
from market.audit import Actor, Subject
from market.bidding import neighbourhood, paddles
from market.orders import orders
from market.places import neighbourhoods
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from tests.support.client import Client, People
from tests.support.endpoints import BODIES, NOWHERE, OPERATIONS
from tests.support.factories import YEOKSAM, make_neighbourhood_auction, make_order, make_published_auction

CELLS = [
    (method, re.sub(r"\{\w+\}", NOWHERE, path), wanted, role)
    for method, path, wanted in OPERATIONS
    for role in (None, *Role)
]


@pytest.mark.parametrize(("method", "path", "wanted", "role"), CELLS)
async def test_an_operation_is_for_those_with_its_role_or_more(
    guest: Client, person: People, method: str, path: str, wanted: Role, role: Role | None
) -> None:
    caller = guest if role is None else person(role=role)
    body = BODIES.get(f"{method} {path.removeprefix('/api/v1')}", {})
    answer = await caller.call(method, path, body)
    if role is None:
        assert answer.body["code"] == "unauthenticated"
    elif not role.includes(wanted):
        assert answer.body["code"] == "forbidden"
    else:
        assert answer.status not in (401, 403)


def test_every_operation_of_administration_wants_a_role_and_says_so() -> None:
    paths = json.loads(document(ROUTES))["paths"]
    wanted = {(method, path): role for method, path, role in OPERATIONS}
    assert set(wanted) == {
        (method.upper(), path)
        for path in paths
        if path.startswith("/api/v1/admin/")
        for method in paths[path]
    }
    for (method, path), role in wanted.items():
        assert paths[path][method.lower()]["security"] == [{"bearer": [role]}]


async def test_the_role_of_this_moment_counts_and_not_that_of_the_token(
    person: People, sync_database: SyncDatabase
) -> None:
    ann = person(role=Role.ADMIN)
    await ann.get("/admin/audit")
    with sync_database.transaction() as session:
        accounts.set_role(session, ann.user_id, Role.MODERATOR)
    assert await ann.refused("GET", "/admin/audit") == "forbidden"


RESERVE, MAXIMUM, LIMIT = 3_333_331, 4_444_443, 5_555_557
READS = [path for method, path, _ in OPERATIONS if method == "GET"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.usefixtures("some_regions")
async def test_no_answer_tells_a_secret(person: People, sync_database: SyncDatabase, path: str) -> None:
    """Neither by its name, which `Client` looks at, nor by what it looks like: the reserve and the leader's maximum of
    an auction that runs, what is held for it, a token, a hash."""
    admin, bidder = person(role=Role.ADMIN), person(funds=20_000_000)
    with sync_database.transaction() as session:
        auction = make_neighbourhood_auction(session, reserve=RESERVE)
        neighbourhoods.verify(session, bidder.user_id, *YEOKSAM, accuracy_m=10)
        neighbourhood.place(session, bidder.user_id, auction.id, "one", MAXIMUM)
        paddles.take(session, bidder.user_id, make_published_auction(session, reserve=RESERVE).id, LIMIT)
        order = make_order(session, auction.seller_id, bidder.user_id).id
        orders.ship(session, auction.seller_id, order, "A carrier", "1")
        orders.report_problem(session, bidder.user_id, order, "It is broken.")
    await admin.post(f"/admin/users/{bidder.user_id}/warn", {"reason": "A reason"})
    ids = {"user_id": bidder.user_id, "auction_id": auction.id, "order_id": order}
    address = re.sub(r"\{(\w+)\}", lambda match: str(ids.get(match[1], NOWHERE)), path)

    text = json.dumps((await admin.call("GET", address)).body)

    for number in (RESERVE, MAXIMUM, LIMIT, MAXIMUM + LIMIT, 20_000_000 - MAXIMUM - LIMIT):
        assert str(number) not in text
    assert bidder.token is not None
    assert bidder.token not in text
    assert not re.search(r"\$argon2|eyJ|\"reserve\": \d", text)


def note(database: SyncDatabase, actor: Actor, action: str, subject: UUID, **changes: Any) -> None:
    with database.transaction() as session:
        audit.record(session, actor, action, Subject("user", subject), "A reason", **changes)


async def test_the_audit_log_can_be_read_page_by_page_and_filtered(
    person: People, sync_database: SyncDatabase
) -> None:
    admin, subject, other = person(role=Role.ADMIN), new_id(), new_id()
    user = Actor(admin.user_id, Role.ADMIN)
    note(sync_database, user, "ban", subject, before={"state": "active"}, after={"state": "banned"})
    note(sync_database, user, "unban", subject)
    note(sync_database, Actor(None, Role.ADMIN, "root"), "ban", subject)
    note(sync_database, user, "ban", other)

    async def found(query: str) -> list[tuple[Any, ...]]:
        entries = await admin.items(f"/admin/audit?{query}", 1)
        return [(entry["action"], entry["subject_id"], entry["operator"]) for entry in entries]

    ban, unban, night, another = (
        ("ban", str(subject), None),
        ("unban", str(subject), None),
        ("ban", str(subject), "root"),
        ("ban", str(other), None),
    )
    assert await found(f"subject={subject}") == [night, unban, ban]
    assert await found(f"subject={subject}&action=ban") == [night, ban]
    assert await found(f"actor={admin.user_id}") == [another, unban, ban]
    assert await found(f"actor={admin.user_id}&subject={other}") == [another]
    assert await found(f"subject={NOWHERE}") == []
    [*_, first] = await admin.items(f"/admin/audit?subject={subject}", 20)
    assert (first["actor_id"], first["actor_name"]) == (str(admin.user_id), "Somebody")
    assert (first["before"], first["after"]) == ({"state": "active"}, {"state": "banned"})
    assert (first["subject_kind"], first["reason"]) == ("user", "A reason")
    assert await admin.refused("GET", "/admin/audit?cursor=x") == "invalid_cursor"
    assert await admin.refused("GET", "/admin/audit?actor=x") == "invalid_query"
