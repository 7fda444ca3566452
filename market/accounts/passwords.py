"""Passwords: their hashes (argon2id), and those that guessers try first.

Making and checking a hash takes some 30 ms of one core. `data/NOTICE` says where the list of common passwords is from.
"""

import gzip
import string
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from market.accounts.refusals import AccountRefusal
from market.errors import Refusal

LIST = Path(__file__).parent / "data" / "common-passwords.txt.gz"

_HASHER = PasswordHasher(memory_cost=19456, time_cost=2, parallelism=1)
_ENDINGS = string.digits + string.punctuation + string.whitespace


def hash_password(password: str) -> str:
    """The hash to store, with its parameters and salt in it."""
    return _HASHER.hash(password)


def matches(password_hash: str, password: str) -> bool:
    """Whether the password belongs to the hash."""
    try:
        return _HASHER.verify(password_hash, password)
    except VerifyMismatchError:
        return False


def require_uncommon(password: str, email: str, display_name: str) -> None:
    """Refuses with `password_too_common` what is on the list, the user's address, the part of it before the @, or the
    user's name, in any case and whatever digits and punctuation follow."""
    personal = {text.casefold() for text in (email, email.partition("@")[0], display_name)}
    whole = password.casefold()
    for candidate in (whole, whole.strip(), whole.rstrip(_ENDINGS)):
        if candidate and (candidate in personal or candidate in _common()):
            raise Refusal(AccountRefusal.PASSWORD_TOO_COMMON)


@cache
def _common() -> frozenset[str]:
    with gzip.open(LIST, "rt", encoding="utf-8") as lines:
        return frozenset(line.rstrip("\n") for line in lines)
