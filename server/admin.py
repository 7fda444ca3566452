"""What those may do who may run commands on the machine: make the first administrator, and what the Admin API offers.

All of it is in the audit log, under the name of the operator's account on the machine.
"""

import asyncio
import getpass
import os
import pwd
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
from redis import RedisError
from sqlalchemy.orm import Session

from handlers.admin.base import Reason
from handlers.common_passwords import require_uncommon
from handlers.parsing import Email, NewPassword
from handlers.passwords import Passwords
from market import accounts, audit, sanctions, sessions
from market.accounts import NewUser
from market.audit import Actor, AuditView, Subject
from market.errors import Refusal
from market.times import clock, to_ms
from server.errors import Failure
from server.settings import Settings
from store import revocations
from store.database import SyncDatabase
from store.hot import SyncHot
from store.models import Role

HOUR_MS = 3_600_000
NAME = "Admin"
CREATED = "createadmin"
"""The reason that the audit log has for administrators who are made here."""


def create(settings: Settings, email: str) -> bool:
    """Give the account the role admin; False if there is none yet, and one is made.

    Only then a password is asked for, twice, or without a terminal read from the first line of stdin. Raises Failure
    if the address or the password is not allowed.
    """
    _check(email, Email, "This is not an e-mail address.")
    with _transaction(settings) as session:
        found = accounts.login_data(session, email)
        if found is not None:
            sanctions.set_role(session, operator(), found[0], Role.ADMIN, CREATED)
            return True
    password = _ask_password()
    try:
        require_uncommon(password, email, NAME)
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    new = NewUser(
        email=email,
        password_hash=asyncio.run(Passwords().hash(password)),
        display_name=NAME,
        role=Role.ADMIN,
    )
    with _transaction(settings) as session:
        made = accounts.register(session, new, verified=True)
        if made is None:
            raise Failure("Somebody has registered with this address just now. Try again.")
        subject = Subject("user", made)
        audit.record(session, operator(), "set_role", subject, CREATED, None, {"role": Role.ADMIN})
    return False


def warn(settings: Settings, email: str, reason: str) -> None:
    """Warn a user."""
    _act(settings, email, reason, sanctions.warn)


def suspend(settings: Settings, email: str, hours: int, reason: str) -> None:
    """Let a user look, but neither bid nor sell, for so many hours; 0 ends it."""

    def use_case(session: Session, actor: Actor, user_id: UUID, reason: str) -> list[UUID]:
        until = to_ms(clock(session)) + hours * HOUR_MS if hours else None
        return sanctions.suspend(session, actor, user_id, until, reason)

    _act(settings, email, reason, use_case)


def ban(settings: Settings, email: str, reason: str) -> None:
    """End a user's sessions and refuse new ones."""
    _act(settings, email, reason, sanctions.ban)


def lift_ban(settings: Settings, email: str, reason: str) -> None:
    """Let a banned user log in again."""
    _act(settings, email, reason, sanctions.lift_ban)


def revoke_sessions(settings: Settings, email: str, reason: str) -> None:
    """End a user's sessions."""
    _act(settings, email, reason, sanctions.revoke_sessions)


def set_role(settings: Settings, email: str, role: Role, reason: str) -> None:
    """Let a user be a `role`."""
    _act(
        settings,
        email,
        reason,
        lambda session, actor, user_id, reason: sanctions.set_role(session, actor, user_id, role, reason),
    )


def entries(settings: Settings, email: str | None, limit: int) -> list[AuditView]:
    """The last entries of the audit log, about this user or about all, the newest first. Raises Failure for an unknown
    address."""
    with _transaction(settings) as session:
        subject = None if email is None else str(_user_id(session, email))
        return audit.page(session, None, subject, None, None, limit).items


def operator() -> Actor:
    """Who runs the command, by the name of the account on this machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return Actor(None, Role.ADMIN, os.environ.get("SUDO_USER", name))


def _act(
    settings: Settings,
    email: str,
    reason: str,
    use_case: Callable[[Session, Actor, UUID, str], list[UUID] | None],
) -> None:
    """Act on a user as the operator; the open sockets of sessions that end close at once. Raises Failure for an unknown
    address, a reason that is none, and what is refused."""
    _check(reason, Reason, "The reason must have 1 to 500 characters on one line.")
    with _transaction(settings) as session:
        revoked = use_case(session, operator(), _user_id(session, email), reason)
    if not revoked:
        return
    hot = SyncHot.connect(settings.redis_url)
    try:
        revocations.publish_from_task(hot, revoked)
    except RedisError as error:
        raise Failure("It is done. Redis is away; the sockets will close when it is back.") from error
    finally:
        hot.client.close()
    with _transaction(settings) as session:
        sessions.told(session, revoked)


@contextmanager
def _transaction(settings: Settings) -> Iterator[Session]:
    """Refusals become Failures."""
    database = SyncDatabase(settings.database_url)
    try:
        with database.transaction() as session:
            yield session
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    finally:
        database.dispose()


def _ask_password() -> str:
    if sys.stdin.isatty():
        password = getpass.getpass()
        if getpass.getpass("Once more: ") != password:
            raise Failure("These are two different passwords.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    _check(password, NewPassword, "The password must have 10 to 128 characters.")
    return password


def _user_id(session: Session, email: str) -> UUID:
    found = accounts.login_data(session, email)
    if found is None:
        raise Failure("Nobody has this e-mail address.")
    return found[0]


def _check(value: str, kind: object, problem: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Failure(problem) from error
