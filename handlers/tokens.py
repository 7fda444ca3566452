"""Access tokens: JWTs (RFC 9068's `at+jwt`) of ten minutes, signed and checked with one fixed algorithm.

A token says who and by which session; whether that session is still open is asked in PostgreSQL at every request.
"""

import hashlib
import secrets
import time
from collections.abc import Mapping
from uuid import UUID

import jwt
import msgspec

from market.sessions import Principal

TTL_S = 600
CLOCKS_S = 10
"""By so much the clocks of two machines may differ."""

ISSUER = "neighborbid"
AUDIENCE = "neighborbid-api"
ALGORITHM = "HS256"
TYPE = "at+jwt"
KEY_BYTES = 32
REFRESH_BYTES = 32

TOKEN = r"(?=.{1,700}\Z)[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # noqa: S105
"""Pattern of an access token, in its one spelling."""

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

    def issue(self, principal: Principal) -> tuple[str, int]:
        """A token and when it expires (ms)."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(principal.user_id),
            "sid": str(principal.session_id),
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


def new_refresh_token() -> str:
    """An opaque token. It says nothing; PostgreSQL knows whose it is by its hash."""
    return secrets.token_urlsafe(REFRESH_BYTES)


def refresh_hash(token: str) -> bytes:
    """What is stored of a refresh token: whoever reads the database cannot use it."""
    return hashlib.sha256(token.encode()).digest()
