"""Access tokens: whatever is wrong with one, it opens nothing."""

import base64
import hmac
import json
import re
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest

from handlers.http.tokens import (
    CLOCKS_S,
    TTL_S,
    AccessTokens,
    read_refresh_token,
    write_refresh_token,
)
from market.accounts.sessions import Principal, RefreshToken
from store.ids import new_id
from tests.support.client import Client, People
from tests.support.keys import KEYS, TOKENS

Forge = Callable[[dict[str, Any], dict[str, Any]], str]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def signed(header: dict[str, Any], claims: dict[str, Any], key: bytes = KEYS["new"]) -> str:
    return jwt.encode(claims, key, "HS256", header)


def with_hmac(algorithm: str, digest: str) -> Forge:
    """Signed with the right key, but by another algorithm or under the name of one."""

    def forge(header: dict[str, Any], claims: dict[str, Any]) -> str:
        text = f"{encoded(header | {'alg': algorithm})}.{encoded(claims)}"
        signature = hmac.digest(KEYS["new"], text.encode(), digest)
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    return forge


def with_header(**changes: Any) -> Forge:
    return lambda header, claims: signed(header | changes, claims)


def with_claims(**changes: Any) -> Forge:
    return lambda header, claims: signed(header, claims | changes)


def without(name: str) -> Forge:
    return lambda header, claims: signed(header, {key: claims[key] for key in claims if key != name})


def unsigned(algorithm: str) -> Forge:
    return lambda header, claims: f"{encoded(header | {'alg': algorithm})}.{encoded(claims)}."


FORGERIES: dict[str, Forge] = {
    "alg_none": unsigned("none"),
    "alg_None": unsigned("None"),
    "alg_none_with_a_signature": lambda header, claims: unsigned("none")(header, claims) + "AAAA",
    "hs_rs_confusion": with_hmac("RS256", "sha256"),
    "another_hmac": with_hmac("HS512", "sha512"),
    "foreign_key": lambda header, claims: signed(header, claims, b"x" * 32),
    "empty_key": lambda header, claims: f"{encoded(header)}.{encoded(claims)}.AAAA",
    "key_of_another_kid": lambda header, claims: signed(header, claims, KEYS["old"]),
    "unknown_kid": with_header(kid="unknown"),
    "path_as_kid": with_header(kid="../../dev/null"),
    "kid_missing": with_header(kid=""),
    "key_in_the_header": lambda header, claims: signed(
        header | {"jwk": {"kty": "oct", "k": encoded("x" * 32)}}, claims, b"x" * 32
    ),
    "plain_jwt_typ": with_header(typ="JWT"),
    "expired": with_claims(exp=int(time.time()) - CLOCKS_S - 1),
    "from_the_future": lambda header, claims: signed(
        header, claims | {"iat": int(time.time()) + CLOCKS_S + 60}
    ),
    "wrong_aud": with_claims(aud="another-api"),
    "aud_among_others": with_claims(aud=["neighborbid-api", "another-api"]),
    "wrong_iss": with_claims(iss="somebody"),
    "sub_of_another_user": with_claims(sub=str(uuid4())),
    "sid_of_no_session": with_claims(sid=str(uuid4())),
    "sid_that_is_no_id": with_claims(sid="1"),
    "no_exp": without("exp"),
    "no_iat": without("iat"),
    "no_aud": without("aud"),
    "no_iss": without("iss"),
    "no_sub": without("sub"),
    "no_sid": without("sid"),
    "changed_claims": lambda header, claims: ".".join(
        [
            (parts := signed(header, claims).split("."))[0],
            encoded(claims | {"sub": str(uuid4())}),
            parts[2],
        ]
    ),
    "too_long": with_claims(more="x" * 700),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_token_opens_nothing(guest: Client, person: People, name: str) -> None:
    token = person().token
    assert token is not None
    header = {"typ": "at+jwt", "kid": "new"}
    claims = jwt.decode(token, options={"verify_signature": False})
    guest.token = signed(header, claims)
    await guest.get("/me")  # so it is the forgery that is refused

    guest.token = FORGERIES[name](header, claims)
    assert await guest.refused("GET", "/me") == "unauthenticated"


def test_a_token_says_how_it_is_to_be_read_and_lives_ten_minutes() -> None:
    token, expires_at = TOKENS.issue(Principal(new_id(), new_id()))
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt", "kid": "new"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == TTL_S == 600
    assert expires_at == claims["exp"] * 1000


def test_after_a_key_rotation_old_tokens_are_good_until_the_old_key_is_gone() -> None:
    before, _ = AccessTokens({"old": KEYS["old"]}).issue(Principal(new_id(), new_id()))
    assert TOKENS.read(before) is not None
    assert AccessTokens({"new": KEYS["new"]}).read(before) is None


def test_before_a_key_rotation_everybody_can_read_what_the_new_key_will_sign() -> None:
    after, _ = AccessTokens({"new": KEYS["new"], "old": KEYS["old"]}).issue(Principal(new_id(), new_id()))
    assert AccessTokens({"old": KEYS["old"], "new": KEYS["new"]}).read(after) is not None
    assert AccessTokens({"old": KEYS["old"]}).read(after) is None, "so it is added everywhere before it signs"


def test_a_refresh_token_is_read_as_it_was_written() -> None:
    token = RefreshToken.new()
    text = write_refresh_token(token)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", text)
    assert read_refresh_token(text) == token
    for wrong in ("", ".", text[:-1], f"{text}A", f"{text}\n", text.replace(".", ""), f".{text}"):
        assert read_refresh_token(wrong) is None


async def test_a_token_is_worth_nothing_after_logging_out(person: People) -> None:
    ann = person()
    await ann.get("/me")
    await ann.done("POST", "/auth/logout")
    assert await ann.refused("GET", "/me") == "unauthenticated"
