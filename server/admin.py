"""What only those may do who may run commands on the machine: make the first administrator, ban, lift a ban."""

import asyncio
import getpass
import sys
from uuid import UUID

import msgspec
import structlog
from redis import RedisError
from sqlalchemy.orm import Session

from handlers.common_passwords import require_uncommon
from handlers.parsing import Email, NewPassword
from handlers.passwords import Passwords
from market import accounts, sessions
from market.accounts import NewUser
from market.errors import Refusal
from server.errors import Failure
from server.settings import Settings
from store import revocations
from store.database import SyncDatabase
from store.hot import SyncHot
from store.models import Role

NAME = "Admin"

log = structlog.get_logger()


def create(settings: Settings, email: str) -> bool:
    """Give the account the role admin; False if there is none yet, and one is made.

    Only then a password is asked for, twice, or without a terminal read from the first line of stdin. Raises Failure
    if the address or the password is not allowed.
    """
    _check(email, Email, "This is not an e-mail address.")
    database = SyncDatabase(settings.database_url)
    try:
        with database.transaction() as session:
            found = accounts.login_data(session, email)
            if found is not None:
                accounts.set_role(session, found[0], Role.ADMIN)
                return True
        password = _ask_password()
        require_uncommon(password, email, NAME)
        new = NewUser(
            email=email,
            password_hash=asyncio.run(Passwords().hash(password)),
            display_name=NAME,
            role=Role.ADMIN,
        )
        with database.transaction() as session:
            made = accounts.register(session, new, verified=True)
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    finally:
        database.dispose()
    if made is None:
        raise Failure("Somebody has registered with this address just now. Try again.")
    return False


def ban(settings: Settings, email: str) -> None:
    """Ban a user; open sockets close at once. Raises Failure for an unknown address."""
    database, hot = SyncDatabase(settings.database_url), SyncHot.connect(settings.redis_url)
    try:
        with database.transaction() as session:
            revoked = sessions.ban(session, user_id := _user_id(session, email))
        log.info("user_banned", user_id=str(user_id))
        try:
            revocations.publish_from_task(hot, revoked)
        except RedisError as error:
            raise Failure(
                "The user is banned. Redis is away; the sockets will close when it is back."
            ) from error
        with database.transaction() as session:
            sessions.told(session, revoked)
    finally:
        database.dispose()
        hot.client.close()


def lift_ban(settings: Settings, email: str) -> None:
    """Let a banned user log in again. Raises Failure for an unknown address."""
    database = SyncDatabase(settings.database_url)
    try:
        with database.transaction() as session:
            sessions.lift_ban(session, _user_id(session, email))
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
