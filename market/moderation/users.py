"""Users, as those with a role see them. Neither a password nor a token is among it."""

from datetime import datetime
from functools import partial
from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from market import audit
from market.accounts import sessions
from market.accounts.sessions import SessionView
from market.audit import AuditView
from market.errors import GeneralRefusal, Refusal
from market.moderation import reports
from market.moderation.reports import ReportView
from market.money import wallet
from market.orders import orders
from market.pages import Page, list_page
from market.times import clock, to_ms
from store.models import (
    Auction,
    AuctionStatus,
    Language,
    Order,
    Paddle,
    Report,
    Role,
    SecondFactor,
    User,
)

LATEST = 20
"""How many reports and actions one answer shows."""

Standing = Literal["active", "suspended", "banned", "deleted"]


class UserCard(msgspec.Struct, frozen=True):
    """A user in a list. `created_at` in ms."""

    id: UUID
    email: str
    display_name: str
    role: Role
    standing: Standing
    trust: int
    created_at: int


class UserRecord(msgspec.Struct, frozen=True):
    """What moderators and admins may know of a user. Times in ms.

    `auctions` are those published, `running` the ones of them that are not over, `bid_in` those with a paddle of the
    user. `money` is what is available and held together, in minor units: what is held alone would reveal the maximum of
    an auction's leader. `reports` are about the user, and the user's auctions, messages, questions and reviews;
    `actions` are what was done to the user. Of both only the latest are here; `reported` counts all.
    """

    id: UUID
    email: str
    email_verified: bool
    second_factor: bool
    display_name: str
    bio: str
    language: Language
    role: Role
    standing: Standing
    banned_at: int | None
    suspended_until: int | None
    created_at: int
    deleted_at: int | None
    trust: int
    completed_orders: int
    no_shows: int
    reviews: int
    auctions: int
    running: int
    bid_in: int
    bought: int
    sold: int
    open_orders: int
    reported: int
    money: int
    sessions: list[SessionView]
    reports: list[ReportView]
    actions: list[AuditView]


def page(session: Session, query: str | None, cursor: str | None, limit: int) -> Page[UserCard]:
    """Users, the last registered first: all, or those whose id is `query`, or whose e-mail address or name begins with
    it, whatever its case. Refuses with `invalid_cursor`."""
    found = select(User)
    if query is not None:
        found = found.where(_matches(query))
    return list_page(session, found, partial(_card, clock(session)), User.id, cursor, limit)


def _matches(query: str) -> ColumnElement[bool]:
    try:
        return User.id == UUID(query)
    except ValueError:
        begin = query.lower()
        return or_(
            User.email.startswith(begin, autoescape=True),
            func.lower(User.display_name).startswith(begin, autoescape=True),
        )


def _card(now: datetime, user: User) -> UserCard:
    return UserCard(
        user.id,
        user.email,
        user.display_name,
        user.role,
        _standing(user, now),
        user.trust,
        to_ms(user.created_at),
    )


def _standing(user: User, now: datetime) -> Standing:
    if user.deleted_at is not None:
        return "deleted"
    if user.banned_at is not None:
        return "banned"
    if user.suspended_until is not None and now < user.suspended_until:
        return "suspended"
    return "active"


def get(session: Session, user_id: UUID) -> UserRecord:
    """One user. Refuses with `not_found`."""
    user = session.get(User, user_id, populate_existing=True)
    if user is None:
        raise Refusal(GeneralRefusal.NOT_FOUND, "There is no such user.")
    factor = session.get(SecondFactor, user_id)
    published = and_(Auction.seller_id == user_id, Auction.status != AuctionStatus.DRAFT)
    running = and_(published, Auction.status.in_([AuctionStatus.PUBLISHED, AuctionStatus.SEALED]))
    party = or_(Order.buyer_id == user_id, Order.seller_id == user_id)
    counts = {
        "auctions": _count(session, Auction.id, published),
        "running": _count(session, Auction.id, running),
        "bid_in": _count(session, Paddle.id, Paddle.bidder_id == user_id),
        "bought": _count(session, Order.id, Order.buyer_id == user_id),
        "sold": _count(session, Order.id, Order.seller_id == user_id),
        "open_orders": _count(session, Order.id, and_(party, Order.state.not_in(orders.FINAL))),
        "reported": _count(session, Report.id, reports.concerning(user_id)),
    }
    return UserRecord(
        id=user.id,
        email=user.email,
        email_verified=user.email_verified_at is not None,
        second_factor=factor is not None and factor.confirmed_at is not None,
        display_name=user.display_name,
        bio=user.bio,
        language=user.language,
        role=user.role,
        standing=_standing(user, clock(session)),
        banned_at=_ms(user.banned_at),
        suspended_until=_ms(user.suspended_until),
        created_at=to_ms(user.created_at),
        deleted_at=_ms(user.deleted_at),
        trust=user.trust,
        completed_orders=user.completed_orders,
        no_shows=user.no_shows,
        reviews=user.reviews,
        **counts,
        money=wallet.total(session, user_id),
        sessions=sessions.open_sessions(session, user_id).items,
        reports=_reports(session, user_id),
        actions=audit.page(session, None, str(user_id), None, None, LATEST).items,
    )


def _ms(time: datetime | None) -> int | None:
    return None if time is None else to_ms(time)


def _count(session: Session, column: InstrumentedAttribute[UUID], which: ColumnElement[bool]) -> int:
    return session.scalars(select(func.count(column)).where(which)).one()


def _reports(session: Session, user_id: UUID) -> list[ReportView]:
    latest = select(Report).where(reports.concerning(user_id)).order_by(Report.id.desc()).limit(LATEST)
    return [reports.view(report) for report in session.scalars(latest)]
