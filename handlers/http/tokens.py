"""How tokens are written. Access tokens are JWTs (RFC 9068's `at+jwt`) of ten minutes, with one fixed algorithm.

They say who and by which session; whether that session is still open is asked in PostgreSQL at every request. Refresh
tokens say nothing.
"""

import base64
import re
import time
from collections.abc import Mapping
from uuid import UUID

import jwt
import msgspec

from market.accounts.sessions import LogIn, RefreshToken

TTL_S = 600
CLOCKS_S = 10
"""By so much the clocks of two machines may differ."""

ISSUER = "neighborbid"
AUDIENCE = "neighborbid-api"
ALGORITHM = "HS256"
TYPE = "at+jwt"
KEY_BYTES = 32

TOKEN = r"(?=.{1,700}\Z)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # noqa: S105
"""Pattern of an access token."""

_REFRESH_TOKEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
"""16 and 32 bytes."""

_CLAIMS = ["iss", "aud", "sub", "sid", "iat", "exp"]


class Claims(msgspec.Struct, frozen=True):
    """What a good token says: the user and the session."""

    sub: UUID
    sid: UUID


class AccessTokens:
    """Issues and checks tokens. Of `keys`, secrets by their `kid`, the first signs and all verify."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)
        self._kid = next(iter(self._keys))

    def issue(self, log_in: LogIn) -> tuple[str, int]:
        """A token and when it expires (ms)."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(log_in.user_id),
            "sid": str(log_in.session_id),
            "iat": now,
            "exp": now + TTL_S,
        }
        headers = {"typ": TYPE, "kid": self._kid}
        return jwt.encode(claims, self._keys[self._kid], ALGORITHM, headers), (now + TTL_S) * 1000

    def read(self, token: str) -> Claims | None:
        """What the token says; None unless everything about it is right."""
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(header.get("kid", ""))
            if key is None or header.get("typ") != TYPE:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=CLOCKS_S,
                options={"require": _CLAIMS, "strict_aud": True},
            )
            return msgspec.convert(claims, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError):
            return None


def write_refresh_token(token: RefreshToken) -> str:
    """The token as clients see it: `<family>.<part>`, both in base64url."""
    return b".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=") for part in (token.family, token.part)
    ).decode()


def read_refresh_token(text: str) -> RefreshToken | None:
    """What `text` says; None if it is no refresh token."""
    found = _REFRESH_TOKEN.fullmatch(text)
    if found is None:
        return None
    return RefreshToken(*(base64.urlsafe_b64decode(f"{part}==") for part in found.groups()))
