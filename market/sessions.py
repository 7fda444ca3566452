"""Log-ins. Refresh tokens come here as their SHA-256: secrets never reach a table. Time is PostgreSQL's clock.

What revokes sessions answers their ids: tell the open sockets after the commit (`store.revocations`), then call `told`.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session

from market import factors
from market.errors import Refusal
from market.factors import WrongCode
from market.times import to_ms
from store import models
from store.database import any_id
from store.ids import new_id
from store.models import Role, SpentToken, User
from store.vault import Vault

CONFLICT_S = 10
"""Two tabs may show the same refresh token at once; shown again later than this it was stolen."""

MAX_OPEN = 50
"""Sessions of one user. The next log-in ends the one that was unused for longest."""

BATCH = 1000
"""How many sessions a sweep handles at a time."""


class Lifetime(msgspec.Struct, frozen=True):
    """How long a session lasts: seconds without use, and seconds in all."""

    idle_s: int
    total_s: int


class Principal(msgspec.Struct, frozen=True):
    """Who makes a request, by which log-in."""

    user_id: UUID
    session_id: UUID
    role: Role = Role.USER


class LogIn(msgspec.Struct, frozen=True):
    """A session was opened for `principal`, and those of the ids were ended to make room."""

    principal: Principal
    ended: list[UUID]


class Reused(msgspec.Struct, frozen=True):
    """A spent refresh token was shown; its session is revoked now."""

    session_id: UUID


class SessionView(msgspec.Struct, frozen=True):
    """A log-in as its user sees it. Times in ms."""

    id: UUID
    created_at: int
    refreshed_at: int
    expires_at: int
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    """All log-ins of a user that are not over, the last made first."""

    items: list[SessionView]


def log_in(
    session: Session,
    vault: Vault,
    user_id: UUID,
    password_hash: str,
    code: str | None,
    refresh_hash: bytes,
    lifetime: Lifetime,
) -> LogIn | WrongCode:
    """Open a session for whoever has proven to know the password behind `password_hash`, and knows the `code` of the
    second factor if it is on. `WrongCode` must be committed.

    Refuses with `banned`, and with `invalid_credentials` if the password was changed meanwhile: a ban and a change
    revoke all sessions, and one opened before must not slip in after it. Further refusals are those of
    `factors.admits`.
    """
    user = session.execute(
        select(User.role, User.banned_at)
        .where(User.id == user_id, User.password_hash == password_hash)
        .with_for_update(key_share=True)
    ).one_or_none()
    if user is None:
        raise Refusal("invalid_credentials", "The e-mail address or the password is wrong.")
    if user.banned_at is not None:
        raise Refusal("banned", "This account is banned.")
    if not factors.admits(session, vault, user_id, code):
        return WrongCode()
    others = (models.Session.user_id == user_id) & _open()
    latest = models.Session.refreshed_at.desc(), models.Session.id.desc()
    surplus = select(models.Session.id).where(others).order_by(*latest)
    ended = _revoke(session, models.Session.id.in_(surplus.offset(MAX_OPEN - 1)))
    opened = open_session(session, user_id, refresh_hash, lifetime)
    return LogIn(Principal(user_id, opened, Role(user.role)), ended)


def open_session(session: Session, user_id: UUID, refresh_hash: bytes, lifetime: Lifetime) -> UUID:
    """A new session, always with an id and a token of its own. Its id."""
    ends_at = func.now() + timedelta(seconds=lifetime.total_s)
    session.execute(
        insert(models.Session).values(
            id=(session_id := new_id()),
            user_id=user_id,
            refresh_hash=refresh_hash,
            expires_at=func.least(func.now() + timedelta(seconds=lifetime.idle_s), ends_at),
            ends_at=ends_at,
        )
    )
    return session_id


def _open() -> ColumnElement[bool]:
    return models.Session.revoked_at.is_(None) & (models.Session.expires_at > func.now())


def authenticate(session: Session, session_id: UUID, user_id: UUID) -> Principal | None:
    """Whose log-in this is, with the role of this moment; None if it is unknown, over or revoked."""
    row = session.execute(
        select(User.role)
        .join(models.Session, models.Session.user_id == User.id)
        .where(models.Session.id == session_id, User.id == user_id, _open())
    ).one_or_none()
    return None if row is None else Principal(user_id, session_id, Role(row.role))


def refresh(session: Session, shown: bytes, following: bytes, idle_s: int) -> Principal | Reused:
    """Exchange the refresh token `shown` for `following`, both as hashes, and let the session live on for `idle_s`.

    Answers `Reused`, to be committed, for a token that was exchanged before: thief and owner cannot be told apart, so
    both are out. Refuses with `invalid_refresh_token`, and with `refresh_conflict` for the token just exchanged.
    """
    found = session.execute(
        select(models.Session.id, models.Session.user_id)
        .where(models.Session.refresh_hash == shown, _open())
        .with_for_update()
    ).one_or_none()
    if found is None:
        return _refuse(session, shown)
    session.execute(insert(SpentToken).values(token_hash=shown, session_id=found.id, spent_at=func.now()))
    session.execute(
        update(models.Session)
        .where(models.Session.id == found.id)
        .values(
            refresh_hash=following,
            refreshed_at=func.now(),
            expires_at=func.least(func.now() + timedelta(seconds=idle_s), models.Session.ends_at),
        ),
        execution_options={"synchronize_session": False},
    )
    role = session.scalars(select(User.role).where(User.id == found.user_id)).one()
    return Principal(found.user_id, found.id, Role(role))


def _refuse(session: Session, shown: bytes) -> Reused:
    spent = session.execute(
        select(
            SpentToken.session_id,
            (SpentToken.spent_at == models.Session.refreshed_at).label("is_previous"),
            (func.clock_timestamp() - SpentToken.spent_at < timedelta(seconds=CONFLICT_S)).label("is_fresh"),
        )
        .join(models.Session)
        .where(SpentToken.token_hash == shown, _open())
    ).one_or_none()
    if spent is None:
        raise Refusal("invalid_refresh_token", "The refresh token is not valid (any more). Log in again.")
    if spent.is_previous and spent.is_fresh:
        raise Refusal(
            "refresh_conflict", "The session was refreshed at the same time. Use the new token, or ask again."
        )
    _revoke(session, models.Session.id == spent.session_id)
    return Reused(spent.session_id)


def _revoke(session: Session, which: ColumnElement[bool]) -> list[UUID]:
    revoked = session.scalars(
        update(models.Session)
        .where(which, models.Session.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(models.Session.id),
        execution_options={"synchronize_session": False},
    )
    return list(revoked)


def revoke(session: Session, user_id: UUID, session_id: UUID) -> list[UUID]:
    """End one session of the user. Refuses with `not_found` if the user has no such open session."""
    mine = (models.Session.id == session_id) & (models.Session.user_id == user_id)
    revoked = _revoke(session, mine & (models.Session.expires_at > func.now()))
    if not revoked:
        raise Refusal("not_found", "You have no such session.")
    return revoked


def revoke_all(session: Session, user_id: UUID, keep: UUID | None = None) -> list[UUID]:
    """End every session of the user, but not `keep`."""
    which = models.Session.user_id == user_id
    return _revoke(session, which if keep is None else which & (models.Session.id != keep))


def ban(session: Session, user_id: UUID) -> list[UUID]:
    """Ban a user: every session ends, and no new one can be opened. Doing it again is harmless."""
    session.execute(
        update(User).where(User.id == user_id, User.banned_at.is_(None)).values(banned_at=func.now())
    )
    return revoke_all(session, user_id)


def lift_ban(session: Session, user_id: UUID) -> None:
    """Let a banned user log in again."""
    session.execute(update(User).where(User.id == user_id).values(banned_at=None))


def told(session: Session, session_ids: Sequence[UUID]) -> None:
    """Note that the open sockets of revoked sessions were told."""
    session.execute(
        update(models.Session).where(models.Session.id == any_id(session_ids)).values(told_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def page(session: Session, principal: Principal) -> SessionList:
    """The open sessions of the user."""
    rows = session.execute(
        select(
            models.Session.id,
            models.Session.created_at,
            models.Session.refreshed_at,
            models.Session.expires_at,
        )
        .where(models.Session.user_id == principal.user_id, _open())
        .order_by(models.Session.id.desc())
    )
    return SessionList(
        [
            SessionView(
                row.id,
                to_ms(row.created_at),
                to_ms(row.refreshed_at),
                to_ms(row.expires_at),
                row.id == principal.session_id,
            )
            for row in rows
        ]
    )


def untold(session: Session) -> list[UUID]:
    """Revoked sessions of which the sockets were not told, because Redis or the process was away."""
    which = models.Session.revoked_at.is_not(None) & models.Session.told_at.is_(None)
    return list(session.scalars(select(models.Session.id).where(which).limit(BATCH)))


def expired(session: Session) -> list[UUID]:
    """Sessions whose time is over."""
    return list(
        session.scalars(select(models.Session.id).where(models.Session.expires_at <= func.now()).limit(BATCH))
    )


def forget(session: Session, session_ids: Sequence[UUID]) -> None:
    """Delete sessions and their spent tokens."""
    session.execute(
        delete(models.Session).where(models.Session.id == any_id(session_ids)),
        execution_options={"synchronize_session": False},
    )
