"""What those with a role do to users: warn, suspend, ban, end sessions, give roles. Every action is in the audit log.

A moderator may act on users only, an admin on everybody else, the operator on all. Nobody acts on their own account,
but for giving up a role. Actor and user are locked together, by id, so that two who act on each other cannot both
succeed.

What is running stays as it is: bids bind, and the auctions of a suspended or banned seller go on until somebody cancels
them, because they are others' bids, too. The money of a sale lies in escrow until the order is finished.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from market import audit
from market.accounts import accounts, sessions
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification, Value
from market.times import clock, from_ms, to_ms
from store.ids import new_id
from store.models import Event, Role, User

MAX_SUSPENSION = timedelta(days=365)


def warn(session: Session, actor: Actor, user_id: UUID, reason: str) -> None:
    """Warn a user; the `reason` says what was wrong, and is listed among the actions on the user. Refuses with
    `not_found` or `forbidden`."""
    _locked(session, actor, user_id)
    notifications.notify(
        session, [NewNotification(user_id, Event.WARNING, str(new_id()), {"reason": reason})]
    )
    audit.record(session, actor, "warn", Subject("user", user_id), reason)


def suspend(session: Session, actor: Actor, user_id: UUID, until: int | None, reason: str) -> None:
    """Let a user only look, neither bid nor sell, `until` then (ms), and say why; None ends it now. All sessions
    end: a socket that stays open could still bid.

    Refuses with `not_found`, `forbidden` or `invalid_time` (not within a year from now).
    """
    user = _locked(session, actor, user_id)
    now = clock(session)
    if until is not None and not to_ms(now) < until <= to_ms(now + MAX_SUSPENSION):
        raise Refusal(GeneralRefusal.INVALID_TIME, "A suspension must end within a year from now.")
    before = user.suspended_until
    user.suspended_until = None if until is None else from_ms(until)
    audit.record(
        session,
        actor,
        "suspend",
        Subject("user", user_id),
        reason,
        {"suspended_until": None if before is None else to_ms(before)},
        {"suspended_until": until},
    )
    if until is None:
        return
    data: dict[str, Value] = {"until": until, "reason": reason}
    notifications.notify(session, [NewNotification(user_id, Event.SUSPENDED, str(new_id()), data)])
    sessions.revoke_all(session, user_id)


def ban(session: Session, actor: Actor, user_id: UUID, reason: str) -> None:
    """End a user's sessions and let nobody log in. Refuses with `not_found` or `forbidden`."""
    before = {"banned": _locked(session, actor, user_id).banned_at is not None}
    audit.record(session, actor, "ban", Subject("user", user_id), reason, before, {"banned": True})
    sessions.ban(session, user_id)


def lift_ban(session: Session, actor: Actor, user_id: UUID, reason: str) -> None:
    """Let a banned user log in again. Refuses with `not_found` or `forbidden`."""
    before = {"banned": _locked(session, actor, user_id).banned_at is not None}
    audit.record(session, actor, "unban", Subject("user", user_id), reason, before, {"banned": False})
    sessions.lift_ban(session, user_id)


def revoke_sessions(session: Session, actor: Actor, user_id: UUID, reason: str) -> None:
    """End all sessions of a user, who may log in anew. Refuses with `not_found` or `forbidden`."""
    _locked(session, actor, user_id)
    revoked = sessions.revoke_all(session, user_id)
    before, after = {"sessions": revoked}, {"sessions": 0}
    audit.record(session, actor, "revoke_sessions", Subject("user", user_id), reason, before, after)


def set_role(session: Session, actor: Actor, user_id: UUID, role: Role, reason: str) -> None:
    """Let the user be a `role` from now on, in every session. For admins, who may give up their own.

    Refuses with `not_found`, `forbidden` or `last_admin`: one who can log in must be left.
    """
    rows = _lock(session, actor, or_(User.id == user_id, User.role == Role.ADMIN))
    user = _existing(rows, user_id)
    if actor.role != Role.ADMIN:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only admins can give and take roles.")
    if user.role == Role.ADMIN and role != Role.ADMIN:
        accounts.require_admin_left(rows, user_id)
    audit.record(
        session, actor, "set_role", Subject("user", user_id), reason, {"role": user.role}, {"role": role}
    )
    accounts.set_role(session, user_id, role)


def _locked(session: Session, actor: Actor, user_id: UUID) -> User:
    """The row of the user to be acted upon. Refuses with `not_found` or `forbidden`."""
    user = _existing(_lock(session, actor, User.id == user_id), user_id)
    if user_id == actor.user_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "You cannot do this to your own account.")
    if actor.role != Role.ADMIN and user.role != Role.USER:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only admins can act on users who have a role.")
    return user


def _lock(session: Session, actor: Actor, which: ColumnElement[bool]) -> Sequence[User]:
    """The rows, and that of the actor: an actor who waits here for somebody who takes the role away is refused by
    `audit.record`."""
    return session.scalars(
        select(User)
        .where(or_(which, User.id == actor.user_id))
        .order_by(User.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()


def _existing(rows: Sequence[User], user_id: UUID) -> User:
    for row in rows:
        if row.id == user_id and row.deleted_at is None:
            return row
    raise Refusal(GeneralRefusal.NOT_FOUND, "There is no such user.")
