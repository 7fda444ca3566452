"""Users. Passwords come here hashed: secrets never reach a table."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.accounts import sessions
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal, Refusal
from market.notifications import account_emails, notifications
from market.notifications.notifications import NewNotification
from market.times import to_ms
from store import effects
from store.effects import LogEvent
from store.ids import new_id
from store.models import AccountEmailKind, Event, Language, Role, User

DELETED_NAME = "Deleted user"
"""What others see of a deleted account."""


class NewUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user to register. Upper and lower case are the same in an e-mail address."""

    email: str
    password_hash: str
    display_name: str
    language: Language = Language.ENGLISH
    role: Role = Role.USER


class Profile(msgspec.Struct, frozen=True):
    """What users see of their own account. `created_at` in ms."""

    id: UUID
    email: str
    email_verified: bool
    display_name: str
    bio: str
    language: Language
    role: Role
    created_at: int
    version: int


def register(session: Session, new: NewUser, *, verified: bool) -> UUID | None:
    """Make a user whose address counts as `verified` or not. The id; None if the address has an account."""
    return session.scalar(
        insert(User)
        .values(
            id=new_id(),
            email=new.email.lower(),
            password_hash=new.password_hash,
            display_name=new.display_name,
            language=new.language,
            role=new.role,
            email_verified_at=func.now() if verified else None,
        )
        .on_conflict_do_nothing(index_elements=[User.email])
        .returning(User.id)
    )


def login_data(session: Session, email: str) -> tuple[UUID, str] | None:
    """The id and the password hash behind an email address; None if nobody has it."""
    row = session.execute(
        select(User.id, User.password_hash).where(User.email == email.lower())
    ).one_or_none()
    return None if row is None else (row.id, row.password_hash)


def set_role(session: Session, user_id: UUID, role: Role) -> None:
    """Let the user be a `role` from now on, in every session."""
    session.execute(update(User).where(User.id == user_id).values(role=role))


def require_admin_left(locked: Iterable[User], user_id: UUID) -> None:
    """Refuses with `last_admin` unless one of these rows is another admin's who can log in. They must be locked, all
    admins' in the order of their ids: then of two who go at once the second sees that the first is gone."""
    if not any(row.role == Role.ADMIN and row.banned_at is None and row.id != user_id for row in locked):
        raise Refusal(AccountRefusal.LAST_ADMIN)


def profile(session: Session, user_id: UUID) -> Profile:
    """The user's own account. Refuses with `not_found`."""
    user = session.get(User, user_id, populate_existing=True)
    if user is None:
        raise Refusal(GeneralRefusal.NOT_FOUND, "There is no such user.")
    return _profile(user)


def edit_profile(session: Session, user_id: UUID, version: int, changes: Mapping[str, str]) -> Profile:
    """Give some columns of the user new values. Refuses with `precondition_failed` if the profile is not in this
    `version` (any more)."""
    user = session.scalar(
        update(User)
        .where(User.id == user_id, User.version == version)
        .values(**changes)
        .returning(User)
        .execution_options(populate_existing=True, synchronize_session=False)
    )
    if user is None:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    return _profile(user)


def keep(session: Session, user_id: UUID) -> None:
    """Hold off the deletion of an account until this transaction ends. Refuses with `unauthenticated` if it is deleted.

    Whatever a deletion asks to be settled first begins with this, before any other lock: `market.account_deletion`
    takes the opposite lock, then looks.
    """
    kept = select(User.id).where(User.id == user_id, User.deleted_at.is_(None))
    if session.scalar(kept.with_for_update(read=True, key_share=True)) is None:
        raise _deleted()


def lock(session: Session, user_id: UUID) -> None:
    """Let no other transaction that says the same about this user, and no deletion of the account, run before this one
    ends. Refuses with `unauthenticated` if the account is deleted."""
    kept = select(User.id).where(User.id == user_id, User.deleted_at.is_(None))
    if session.scalar(kept.with_for_update(key_share=True)) is None:
        raise _deleted()


def password_hash(session: Session, user_id: UUID) -> str:
    """The hash of the user's password."""
    return session.scalars(select(User.password_hash).where(User.id == user_id)).one()


def change_password(session: Session, user_id: UUID, old_hash: str, new_hash: str, keep: UUID) -> None:
    """Replace the password whose hash was checked, and end all sessions but `keep`. Refuses with `invalid_credentials`
    if it was changed meanwhile."""
    email = session.scalar(
        update(User)
        .where(User.id == user_id, User.password_hash == old_hash)
        .values(password_hash=new_hash)
        .returning(User.email)
    )
    if email is None:
        raise Refusal(AccountRefusal.INVALID_CREDENTIALS)
    password_was_changed(session, user_id, email)
    sessions.revoke_all(session, user_id, keep=keep)
    effects.after_commit(session, LogEvent("info", "password_changed", {"user_id": str(user_id)}))


def password_was_changed(session: Session, user_id: UUID, email: str) -> None:
    """Void what could change the password once more, and tell the user. The caller has changed the user's row."""
    account_emails.void_resets(session, user_id, email)
    account_emails.write(session, AccountEmailKind.PASSWORD_CHANGED, email)
    notifications.notify(session, [NewNotification(user_id, Event.PASSWORD_CHANGED, str(new_id()), {})])


def require_may_trade(session: Session, user_id: UUID) -> None:
    """Refuses with `email_not_verified` until the user has confirmed the e-mail address, and with `suspended`."""
    if session.scalar(select(User.email_verified_at).where(User.id == user_id)) is None:
        raise Refusal(AccountRefusal.EMAIL_NOT_VERIFIED)
    require_not_suspended(session, user_id)


def require_not_suspended(session: Session, user_id: UUID) -> None:
    """Refuses with `suspended` a user who may look but neither bid nor sell; `until` says how long (ms)."""
    until = session.scalar(
        select(User.suspended_until).where(User.id == user_id, User.suspended_until > func.clock_timestamp())
    )
    if until is not None:
        raise Refusal(AccountRefusal.SUSPENDED, until=to_ms(until))


def forget_user(session: Session, user_id: UUID) -> None:
    """Overwrite everything personal in the user's row."""
    session.execute(
        update(User)
        .where(User.id == user_id)
        .values(
            # Nobody can register this, or log in by it.
            email=f"deleted:{user_id}",
            password_hash="",
            display_name=DELETED_NAME,
            bio="",
            language=Language.ENGLISH,
            email_verified_at=None,
            role=Role.USER,
            deleted_at=func.now(),
        ),
        execution_options={"synchronize_session": False},
    )


def _deleted() -> Refusal:
    return Refusal(GeneralRefusal.UNAUTHENTICATED, "This account has been deleted.")


def _profile(user: User) -> Profile:
    return Profile(
        user.id,
        user.email,
        user.email_verified_at is not None,
        user.display_name,
        user.bio,
        user.language,
        user.role,
        to_ms(user.created_at),
        user.version,
    )
