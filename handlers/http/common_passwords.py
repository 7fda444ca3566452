"""Passwords that guessers try first. `data/NOTICE` says where the list is from."""

import gzip
import string
from functools import cache
from pathlib import Path

from market.errors import Refusal

LIST = Path(__file__).parent / "data" / "common-passwords.txt.gz"

_ENDINGS = string.digits + string.punctuation + string.whitespace


def require_uncommon(password: str, email: str, display_name: str) -> None:
    """Refuses with `password_too_common` what is on the list, the user's address, the part of it before the @, or the
    user's name, in any case and whatever digits and punctuation follow."""
    personal = {text.casefold() for text in (email, email.partition("@")[0], display_name)}
    whole = password.casefold()
    for candidate in (whole, whole.strip(), whole.rstrip(_ENDINGS)):
        if candidate and (candidate in personal or candidate in _common()):
            raise Refusal("password_too_common", "Guessers try this password first. Please choose another.")


@cache
def _common() -> frozenset[str]:
    with gzip.open(LIST, "rt", encoding="utf-8") as lines:
        return frozenset(line.rstrip("\n") for line in lines)
