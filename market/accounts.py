"""Users. Passwords come here hashed: secrets never reach a table."""

from uuid import UUID

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.times import to_ms
from store.ids import new_id
from store.models import Role, User


class Profile(msgspec.Struct, frozen=True):
    """What a user sees of the own account. `created_at` in ms."""

    id: UUID
    email: str
    display_name: str
    role: Role
    created_at: int


def register(
    session: Session, email: str, password_hash: str, display_name: str, role: Role = Role.USER
) -> Profile:
    """Make a user. Upper and lower case are the same in an email address. Refuses with `email_taken`."""
    created_at = session.scalar(
        insert(User)
        .values(
            id=(user_id := new_id()),
            email=email.lower(),
            password_hash=password_hash,
            display_name=display_name,
            role=role,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.created_at)
    )
    if created_at is None:
        raise Refusal("email_taken", "There is an account with this email address already.")
    return Profile(user_id, email.lower(), display_name, role, to_ms(created_at))


def login_data(session: Session, email: str) -> tuple[UUID, str] | None:
    """The id and the password hash behind an email address; None if nobody has it."""
    row = session.execute(
        select(User.id, User.password_hash).where(User.email == email.lower())
    ).one_or_none()
    return None if row is None else (row.id, row.password_hash)


def profile(session: Session, user_id: UUID) -> Profile:
    """The user's own account. Refuses with `not_found`."""
    row = session.execute(
        select(User.id, User.email, User.display_name, User.role, User.created_at).where(User.id == user_id)
    ).one_or_none()
    if row is None:
        raise Refusal("not_found", "There is no such user.")
    return Profile(row.id, row.email, row.display_name, Role(row.role), to_ms(row.created_at))


def password_hash(session: Session, user_id: UUID) -> str:
    """The hash of the user's password."""
    return session.scalars(select(User.password_hash).where(User.id == user_id)).one()


def change_password(session: Session, user_id: UUID, old_hash: str, new_hash: str) -> None:
    """Replace the password whose hash was checked. Refuses with `invalid_credentials` if it was changed meanwhile."""
    changed = session.scalar(
        update(User)
        .where(User.id == user_id, User.password_hash == old_hash)
        .values(password_hash=new_hash)
        .returning(User.id)
    )
    if changed is None:
        raise Refusal("invalid_credentials", "The password was changed at the same time.")
