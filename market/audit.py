"""The log of what those with a role have done: who, why, and what it changed. PostgreSQL lets nobody change it."""

from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.pages import Page, list_page
from market.times import to_ms
from store.models import AuditEntry, Role, User


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a user, with the role of this moment, or the operator on the machine, named by the account there."""

    user_id: UUID | None
    role: Role
    operator: str | None = None


class Subject(NamedTuple):
    """What is acted upon: its kind (`user`, `order`, ...) and its id, or its code."""

    kind: str
    id: UUID | str


class AuditView(msgspec.Struct, frozen=True):
    """An entry, for admins. Without an `actor_id` it was the `operator`. `at` in ms."""

    id: UUID
    actor_id: UUID | None
    actor_name: str | None
    operator: str | None
    action: str
    subject_kind: str
    subject_id: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    at: int


def require_impartial(actor: Actor, *involved: UUID | None) -> None:
    """Refuses with `forbidden` if the actor is involved."""
    if actor.user_id is not None and actor.user_id in involved:
        raise Refusal(GeneralRefusal.FORBIDDEN, "You are involved in this. Somebody else must do it.")


def record(
    session: Session,
    actor: Actor,
    action: str,
    subject: Subject,
    reason: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> None:
    """Note an action in the transaction that does it. `before` and `after` hold what changed, as JSON, and no secret;
    times in ms.

    Refuses with `forbidden` if the actor has lost the role, or was banned, since the request was let in.
    """
    if actor.user_id is not None:
        role, banned_at = session.execute(
            select(User.role, User.banned_at).where(User.id == actor.user_id)
        ).one()
        if banned_at is not None or not role.includes(actor.role):
            raise Refusal(GeneralRefusal.FORBIDDEN, "You no longer have the role for this.")
    session.add(
        AuditEntry(
            actor_id=actor.user_id,
            operator=actor.operator,
            action=action,
            subject_kind=subject.kind,
            subject_id=str(subject.id),
            reason=reason,
            before=before,
            after=after,
        )
    )
    session.flush()


def giver_of_role(session: Session, user_id: UUID, role: Role) -> UUID | None:
    """Who has made the user this last; None if it was the operator."""
    return session.scalar(
        select(AuditEntry.actor_id)
        .where(
            AuditEntry.subject_id == str(user_id),
            AuditEntry.action == "set_role",
            AuditEntry.after["role"].astext == role,
            AuditEntry.before["role"].astext.is_distinct_from(role),
        )
        .order_by(AuditEntry.id.desc())
        .limit(1)
    )


def page(
    session: Session,
    actor_id: UUID | None,
    subject_id: str | None,
    action: str | None,
    cursor: str | None,
    limit: int,
) -> Page[AuditView]:
    """The entries of this actor, about this subject, of this action; None means all. The newest first.

    Refuses with `invalid_cursor`.
    """
    query = select(AuditEntry, User.display_name).outerjoin(User, User.id == AuditEntry.actor_id)
    if actor_id is not None:
        query = query.where(AuditEntry.actor_id == actor_id)
    if subject_id is not None:
        query = query.where(AuditEntry.subject_id == subject_id)
    if action is not None:
        query = query.where(AuditEntry.action == action)
    return list_page(session, query, _view, AuditEntry.id, cursor, limit)


def _view(entry: AuditEntry, actor_name: str | None) -> AuditView:
    return AuditView(
        id=entry.id,
        actor_id=entry.actor_id,
        actor_name=actor_name,
        operator=entry.operator,
        action=entry.action,
        subject_kind=entry.subject_kind,
        subject_id=entry.subject_id,
        reason=entry.reason,
        before=entry.before,
        after=entry.after,
        at=to_ms(entry.at),
    )
