"""Log-ins. No refresh token reaches a table: what is stored of one is its SHA-256. Time is PostgreSQL's clock.

The open sockets of a session that ends are closed after the commit.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Self
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.orm import Session

from market.accounts import two_factor
from market.accounts.refusals import AccountRefusal
from market.accounts.two_factor import RecoveryCodes, WrongCode
from market.errors import GeneralRefusal, Refusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.times import to_ms
from store import effects, models
from store.database import any_id
from store.effects import CloseSockets, LogEvent
from store.ids import new_id
from store.models import Event, PushSubscription, Role, User
from store.vault import Vault

FAMILY_BYTES = 16
PART_BYTES = 32
KEY_BYTES = 32

REPEAT_S = 30
"""An answer may be lost, and two tabs may show the same refresh token; shown again later than this it was stolen."""

MAX_OPEN = 50
"""Sessions of one user. The next log-in ends the one that was unused for longest."""

BATCH = 1000
"""How many sessions a sweep handles at a time."""


class Lifetime(msgspec.Struct, frozen=True):
    """How long a session lasts: seconds without use, and seconds in all."""

    idle_s: int
    total_s: int


class LogIn(msgspec.Struct, frozen=True):
    """Who has logged in, and the session that was opened."""

    user_id: UUID
    session_id: UUID


class Principal(LogIn, frozen=True):
    """Who makes a request, by which log-in, and what role the user has at this moment."""

    role: Role = Role.USER


class RefreshToken(msgspec.Struct, frozen=True):
    """A secret: `family` is the same as long as the session lives, `part` is new with each refresh."""

    family: bytes
    part: bytes

    @classmethod
    def new(cls) -> Self:
        """The first one of a session."""
        return cls(secrets.token_bytes(FAMILY_BYTES), secrets.token_bytes(PART_BYTES))


class Refreshed(msgspec.Struct, frozen=True):
    """A session that lives on, and the next refresh token."""

    log_in: LogIn
    token: RefreshToken


class Reused(msgspec.Struct, frozen=True):
    """A spent refresh token was shown; its session is revoked now."""

    user_id: UUID
    session_id: UUID


class SessionView(msgspec.Struct, frozen=True):
    """A log-in as its user sees it. Times in ms."""

    id: UUID
    created_at: int
    refreshed_at: int
    expires_at: int
    current: bool


class SessionList(msgspec.Struct, frozen=True):
    """All log-ins of a user that are not over, newest first."""

    items: list[SessionView]


def log_in(
    session: Session,
    vault: Vault,
    user_id: UUID,
    password_hash: str,
    code: str | None,
    token: RefreshToken,
    lifetime: Lifetime,
) -> LogIn | WrongCode:
    """Open a session for a user who has proven to know the password behind `password_hash`, and knows the `code` of the
    second factor if it is on. `WrongCode` must be committed.

    Refuses with `banned`, and with `invalid_credentials` if the password was changed meanwhile: a ban and a change
    revoke all sessions, and one opened before must not slip in after it. Further refusals are those of
    `two_factor.admits`.
    """
    user = session.execute(
        select(User.banned_at)
        .where(User.id == user_id, User.password_hash == password_hash)
        .with_for_update(key_share=True)
    ).one_or_none()
    if user is None:
        raise Refusal(AccountRefusal.INVALID_CREDENTIALS)
    if user.banned_at is not None:
        raise Refusal(AccountRefusal.BANNED)
    if not two_factor.admits(session, vault, user_id, code):
        return WrongCode()
    others = (models.Session.user_id == user_id) & _open()
    latest = models.Session.refreshed_at.desc(), models.Session.id.desc()
    surplus = select(models.Session.id).where(others).order_by(*latest)
    _revoke(session, models.Session.id.in_(surplus.offset(MAX_OPEN - 1)))
    return LogIn(user_id, open_session(session, user_id, token, lifetime))


def open_session(session: Session, user_id: UUID, token: RefreshToken, lifetime: Lifetime) -> UUID:
    """A new session, always with an id and a new `token` of its own. Its id."""
    ends_at = func.now() + timedelta(seconds=lifetime.total_s)
    session.execute(
        insert(models.Session).values(
            id=(session_id := new_id()),
            user_id=user_id,
            family_hash=_sha256(token.family),
            refresh_hash=_sha256(token.part),
            refresh_key=secrets.token_bytes(KEY_BYTES),
            expires_at=func.least(func.now() + timedelta(seconds=lifetime.idle_s), ends_at),
            ends_at=ends_at,
        )
    )
    return session_id


def _sha256(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def _open() -> ColumnElement[bool]:
    # By the clock and not by the begin of the transaction, which may have waited for a lock: what the sweep has seen
    # expire stays over.
    return models.Session.revoked_at.is_(None) & (models.Session.expires_at > func.clock_timestamp())


def confirm_second_factor(
    session: Session, vault: Vault, log_in: LogIn, code: str
) -> RecoveryCodes | WrongCode:
    """`two_factor.confirm`, with its refusals. All other sessions of the user end."""
    outcome = two_factor.confirm(session, vault, log_in.user_id, code)
    if isinstance(outcome, RecoveryCodes):
        revoke_all(session, log_in.user_id, keep=log_in.session_id)
    return outcome


def authenticate(session: Session, session_id: UUID, user_id: UUID) -> Principal | None:
    """Whose log-in this is, with the role of this moment; None if it is unknown, over or revoked."""
    row = session.execute(
        select(User.role)
        .join(models.Session, models.Session.user_id == User.id)
        .where(models.Session.id == session_id, User.id == user_id, _open())
    ).one_or_none()
    return None if row is None else Principal(user_id, session_id, row.role)


def refresh(session: Session, shown: RefreshToken, idle_s: int) -> Refreshed | Reused:
    """Exchange the refresh token `shown` for the next one, and let the session live on for `idle_s`.

    The next part follows from the one shown and the session's key. So the previous one, shown again within
    `REPEAT_S` of its exchange, gets the same answer, and nothing changes. Answers `Reused`, to be committed, for any
    other part: thief and owner cannot be told apart, so both are out, and the user is notified. Refuses with
    `invalid_refresh_token`.
    """
    found = session.execute(
        select(
            models.Session.id,
            models.Session.user_id,
            models.Session.refresh_hash,
            models.Session.previous_hash,
            models.Session.refresh_key,
            (func.clock_timestamp() - models.Session.refreshed_at < timedelta(seconds=REPEAT_S)).label(
                "is_fresh"
            ),
        )
        .where(models.Session.family_hash == _sha256(shown.family), _open())
        .with_for_update(key_share=True)
    ).one_or_none()
    if found is None:
        raise Refusal(AccountRefusal.INVALID_REFRESH_TOKEN)
    shown_hash = _sha256(shown.part)
    following = RefreshToken(shown.family, hmac.digest(found.refresh_key, shown.part, "sha256"))
    answer = Refreshed(LogIn(found.user_id, found.id), following)
    if hmac.compare_digest(shown_hash, found.refresh_hash):
        session.execute(
            update(models.Session)
            .where(models.Session.id == found.id)
            .values(
                refresh_hash=_sha256(following.part),
                previous_hash=shown_hash,
                refreshed_at=func.now(),
                expires_at=func.least(func.now() + timedelta(seconds=idle_s), models.Session.ends_at),
            ),
            execution_options={"synchronize_session": False},
        )
        return answer
    # There is no previous part before the first refresh.
    if found.is_fresh and hmac.compare_digest(shown_hash, found.previous_hash or b""):
        return answer
    _revoke(session, models.Session.id == found.id)
    notifications.notify(session, [NewNotification(found.user_id, Event.SESSION_STOLEN, str(found.id), {})])
    return Reused(found.user_id, found.id)


def _revoke(session: Session, which: ColumnElement[bool]) -> int:
    """End sessions; how many. The browsers that they have subscribed to Web Push get nothing any more: a thief of
    the session, or another user of the machine, would go on reading."""
    unsynchronized = {"synchronize_session": False}
    revoked = session.scalars(
        update(models.Session)
        .where(which, models.Session.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(models.Session.id),
        execution_options=unsynchronized,
    ).all()
    session.execute(
        delete(PushSubscription).where(PushSubscription.session_id == any_id(revoked)),
        execution_options=unsynchronized,
    )
    if revoked:
        ids = [str(session_id) for session_id in revoked]
        effects.after_commit(session, LogEvent("info", "sessions_revoked", {"session_ids": ids}))
    _close_sockets(session, revoked, _note_told)
    return len(revoked)


def _close_sockets(
    session: Session, session_ids: Sequence[UUID], confirm: Callable[[Session, Sequence[UUID]], None]
) -> None:
    """Have the open sockets of these sessions closed after the commit, and that confirmed."""
    if session_ids:
        effects.after_commit(
            session, CloseSockets(session_ids, confirm=lambda session, _: confirm(session, session_ids))
        )


def revoke(session: Session, user_id: UUID, session_id: UUID) -> None:
    """End one session of the user. Refuses with `not_found` if the user has no such open session."""
    mine = (models.Session.id == session_id) & (models.Session.user_id == user_id)
    if not _revoke(session, mine & (models.Session.expires_at > func.now())):
        raise Refusal(GeneralRefusal.NOT_FOUND)


def log_out(session: Session, log_in: LogIn) -> None:
    """End this session. One that is over already is as good."""
    _revoke(session, models.Session.id == log_in.session_id)


def revoke_all(session: Session, user_id: UUID, keep: UUID | None = None) -> int:
    """End every session of the user, but not `keep`; how many."""
    which = models.Session.user_id == user_id
    return _revoke(session, which if keep is None else which & (models.Session.id != keep))


def ban(session: Session, user_id: UUID) -> None:
    """Ban a user: every session ends, and no new one can be opened. Doing it again is harmless."""
    session.execute(
        update(User).where(User.id == user_id, User.banned_at.is_(None)).values(banned_at=func.now())
    )
    revoke_all(session, user_id)


def lift_ban(session: Session, user_id: UUID) -> None:
    """Let a banned user log in again."""
    session.execute(update(User).where(User.id == user_id).values(banned_at=None))


def _note_told(session: Session, session_ids: Sequence[UUID]) -> None:
    session.execute(
        update(models.Session).where(models.Session.id == any_id(session_ids)).values(told_at=func.now()),
        execution_options={"synchronize_session": False},
    )


def open_sessions(session: Session, user_id: UUID, current: UUID | None = None) -> SessionList:
    """The sessions of the user that are not over; `current` is the one that asks."""
    rows = session.execute(
        select(
            models.Session.id,
            models.Session.created_at,
            models.Session.refreshed_at,
            models.Session.expires_at,
        )
        .where(models.Session.user_id == user_id, _open())
        .order_by(models.Session.id.desc())
    )
    return SessionList(
        [
            SessionView(
                row.id,
                to_ms(row.created_at),
                to_ms(row.refreshed_at),
                to_ms(row.expires_at),
                row.id == current,
            )
            for row in rows
        ]
    )


def close_sockets(session: Session) -> None:
    """Close the open sockets of revoked sessions that were not closed, because Redis or the process was away."""
    which = models.Session.revoked_at.is_not(None) & models.Session.told_at.is_(None)
    oldest = select(models.Session.id).where(which).order_by(models.Session.revoked_at).limit(BATCH)
    _close_sockets(session, session.scalars(oldest).all(), _note_told)


def _expired() -> ColumnElement[bool]:
    return models.Session.expires_at <= func.now()


def end_expired(session: Session) -> None:
    """Close the open sockets of sessions whose time is over, then delete these; but for those that somebody refreshes
    at this moment."""
    oldest = select(models.Session.id).where(_expired()).order_by(models.Session.expires_at).limit(BATCH)
    expired = session.scalars(oldest.with_for_update(key_share=True, skip_locked=True)).all()
    _close_sockets(session, expired, _forget)


def _forget(session: Session, session_ids: Sequence[UUID]) -> None:
    """Delete those of the sessions that are expired still: one may have been refreshed in its last moment."""
    session.execute(
        delete(models.Session).where(models.Session.id == any_id(session_ids), _expired()),
        execution_options={"synchronize_session": False},
    )
