"""`./neighborbid createadmin EMAIL`: the first administrator, made by whoever may run commands on the machine."""

import asyncio
import getpass
import sys

import msgspec

from handlers.parsing import Email, NewPassword
from handlers.passwords import Passwords
from market import accounts
from market.errors import Refusal
from server.errors import Failure
from server.settings import Settings
from store.database import SyncDatabase
from store.models import Role


def create(settings: Settings, email: str) -> None:
    """Make an account with the role admin. The password is asked for, or the first line of stdin without a terminal.

    Raises Failure if the address or the password is not allowed, or the address has an account already.
    """
    _check(email, Email, "This is not an e-mail address.")
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    _check(password, NewPassword, "The password must have 10 to 128 characters.")
    database = SyncDatabase(settings.database_url)
    try:
        password_hash = asyncio.run(Passwords().hash(password))
        with database.transaction() as session:
            accounts.register(session, email, password_hash, "Admin", Role.ADMIN)
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    finally:
        database.dispose()


def _check(value: str, kind: object, problem: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Failure(problem) from error
