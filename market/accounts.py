"""Users and their log-ins. Passwords come here hashed, bearer tokens as their SHA-256: secrets never reach a table."""

from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.times import to_ms
from store import models
from store.ids import new_id
from store.models import User


class Profile(msgspec.Struct, frozen=True):
    """What a user sees of the own account. `created_at` in ms."""

    id: UUID
    email: str
    display_name: str
    created_at: int


class Principal(msgspec.Struct, frozen=True):
    """Who makes a request, by which log-in."""

    user_id: UUID
    session_id: UUID


class SessionOpened(msgspec.Struct, frozen=True):
    """A new log-in. `expires_at` in ms."""

    id: UUID
    expires_at: int


def register(session: Session, email: str, password_hash: str, display_name: str) -> Profile:
    """Make a user. Upper and lower case are the same in an email address. Refuses with `email_taken`."""
    created_at = session.scalar(
        insert(User)
        .values(
            id=(user_id := new_id()),
            email=email.lower(),
            password_hash=password_hash,
            display_name=display_name,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.created_at)
    )
    if created_at is None:
        raise Refusal("email_taken", "There is an account with this email address already.")
    return Profile(user_id, email.lower(), display_name, to_ms(created_at))


def login_data(session: Session, email: str) -> tuple[UUID, str] | None:
    """The id and the password hash behind an email address; None if nobody has it."""
    row = session.execute(
        select(User.id, User.password_hash).where(User.email == email.lower())
    ).one_or_none()
    return None if row is None else (row.id, row.password_hash)


def open_session(session: Session, user_id: UUID, token_hash: bytes, ttl_s: int) -> SessionOpened:
    """Log a user in for `ttl_s` seconds by PostgreSQL's clock. `token_hash` is the SHA-256 of the bearer token."""
    expires_at = session.scalars(
        insert(models.Session)
        .values(
            id=(session_id := new_id()),
            user_id=user_id,
            token_hash=token_hash,
            expires_at=func.now() + timedelta(seconds=ttl_s),
        )
        .returning(models.Session.expires_at)
    ).one()
    return SessionOpened(session_id, to_ms(expires_at))


def authenticate(session: Session, token_hash: bytes) -> Principal | None:
    """Whose log-in this is; None if it is unknown, over or closed."""
    row = session.execute(
        select(models.Session.user_id, models.Session.id).where(
            models.Session.token_hash == token_hash,
            models.Session.revoked_at.is_(None),
            models.Session.expires_at > func.now(),
        )
    ).one_or_none()
    return None if row is None else Principal(row.user_id, row.id)


def close_session(session: Session, session_id: UUID) -> None:
    """Log out. Doing it again changes nothing."""
    session.execute(
        update(models.Session)
        .where(models.Session.id == session_id, models.Session.revoked_at.is_(None))
        .values(revoked_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def profile(session: Session, user_id: UUID) -> Profile:
    """The user's own account. Refuses with `not_found`."""
    row = session.execute(
        select(User.id, User.email, User.display_name, User.created_at).where(User.id == user_id)
    ).one_or_none()
    if row is None:
        raise Refusal("not_found", "There is no such user.")
    return Profile(row.id, row.email, row.display_name, to_ms(row.created_at))
