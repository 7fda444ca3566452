"""Whatever those with a role do over HTTP stands in the audit log: once, with who and why."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from market import audit
from market.audit import Actor
from market.listings import questions
from market.listings.categories import OTHER
from market.moderation import reports
from market.money import adjustments
from market.orders import chats, orders
from market.platform import settings
from market.times import clock, to_ms
from store.database import SyncDatabase
from store.models import (
    Category,
    Direction,
    FraudSignal,
    FraudSignalKind,
    Region,
    ReportKind,
    ReportReason,
    Review,
    Role,
)
from tests.support.client import People
from tests.support.endpoints import BODIES, NOWHERE, OPERATIONS
from tests.support.factories import make_neighbourhood_auction, make_order, make_user

ACTIONS = [(method, path) for method, path, _ in OPERATIONS if method != "GET"]
REGION = "11650108"
WHY = "What only this test says"


def things(session: Session) -> dict[str, Any]:
    """Something to act upon for each name of an id in a path; none of it is the actor's own."""
    user, asker, admin = make_user(session), make_user(session), make_user(session, role=Role.ADMIN)
    auction, order, now = make_neighbourhood_auction(session), make_order(session), clock(session)
    message = chats.send(session, order.seller_id, order.id, "Hello.")
    orders.ship(session, order.seller_id, order.id, "A carrier", "1")
    orders.report_problem(session, order.buyer_id, order.id, "It is broken.")
    sides = {"author_id": order.buyer_id, "subject_id": order.seller_id}
    review = Review(order_id=order.id, **sides, stars=1, text="", visible_at=now)
    signal = FraudSignal(kind=FraudSignalKind.HOLD_HOARDING, user_id=user, why={})
    session.add_all([review, signal])
    session.flush()
    times = to_ms(now), to_ms(now + timedelta(minutes=1))
    return {
        "user_id": user,
        "auction_id": auction.id,
        "order_id": order.id,
        "message_id": message.id,
        "review_id": review.id,
        "signal_id": signal.id,
        "question_id": questions.ask(session, asker, auction.id, "Is it new?").id,
        "report_id": reports.make(session, asker, ReportKind.USER, user, ReportReason.SPAM, "").id,
        "adjustment_id": adjustments.propose(session, admin, user, Direction.CREDIT, 1, WHY).id,
        "announcement_id": settings.create_announcement(
            session, Actor(admin, Role.ADMIN), "공지", "Notice", *times, WHY
        ).id,
    }


def changes_of(session: Session, path: str, known: dict[str, Any]) -> dict[str, Any]:
    """How a body differs from the one of `BODIES`, to be possible and to leave other tests what they know."""
    region, other = session.get_one(Region, REGION), session.get_one(Category, OTHER)
    changes: dict[str, dict[str, Any]] = {
        "/api/v1/admin/adjustments": {"user_id": str(known["user_id"])},
        "/api/v1/admin/users/{user_id}/suspend": {"until": None},
        "/api/v1/admin/outages": {"began_at": 0, "ended_at": 1},
        "/api/v1/admin/categories/{code}": {
            "name": other.name,
            "name_en": other.name_en,
            "position": other.position,
        },
        "/api/v1/admin/regions/{code}": {"name": region.name, "name_en": region.name_en},
    }
    return changes.get(path, {})


@pytest.mark.parametrize(("method", "path"), ACTIONS)
@pytest.mark.usefixtures("some_regions", "default_settings")
async def test_every_action_stands_in_the_log_with_who_and_why(
    person: People, sync_database: SyncDatabase, method: str, path: str
) -> None:
    admin = person(role=Role.ADMIN)
    with sync_database.transaction() as session:
        known = things(session)
        changes = changes_of(session, path, known)
    known["code"] = REGION if "regions" in path else OTHER
    nowhere = re.sub(r"\{\w+\}", NOWHERE, path.removeprefix("/api/v1"))
    body = BODIES[f"{method} {nowhere}"] | changes | {"reason": WHY}

    answer = await admin.call(method, path.format_map(known), body, version=0)

    assert answer.status < 300, answer.body
    with sync_database.transaction() as session:
        entries = audit.page(session, admin.user_id, None, None, None, 10).items
    assert [entry.reason for entry in entries] == [WHY]
