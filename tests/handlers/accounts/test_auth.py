from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from handlers.http import passwords
from store.database import SyncDatabase
from store.models import AccountEmail, AccountEmailKind, Session, User
from tests.support.client import Client, People

PASSWORD = "correct horse"


def registration(**changes: object) -> dict[str, object]:
    email = f"{uuid4().hex}@example.org"
    return {"email": email, "password": PASSWORD, "display_name": "Ann"} | changes


async def test_a_registered_user_can_log_in_and_out(guest: Client, sync_database: SyncDatabase) -> None:
    email = f"Ann.{uuid4().hex}@Example.org"
    answer = await guest.call("POST", "/auth/register", registration(email=email))
    assert answer.status == 202
    assert answer.body == {"email": email.lower()}

    answer = await guest.call("POST", "/auth/login", {"email": email.upper(), "password": PASSWORD})
    assert answer.status == 201
    assert set(answer.body) == {"access_token", "expires_at", "refresh_token"}
    guest.token, token = answer.body["access_token"], answer.body["refresh_token"]
    profile = await guest.get("/me")
    assert (profile["email"], profile["display_name"]) == (email.lower(), "Ann")
    assert (profile["role"], profile["language"], profile["email_verified"]) == ("user", "en", True)

    with sync_database.transaction() as session:
        stored = session.scalars(
            select(Session.refresh_hash).join(User).where(User.email == email.lower())
        ).one()
        password_hash = session.scalars(select(User.password_hash).where(User.email == email.lower())).one()
    assert token.encode() not in stored
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    assert (await guest.call("POST", "/auth/logout")).status == 204
    assert await guest.refused("GET", "/me") == "unauthenticated"
    assert await guest.refused("POST", "/auth/logout") == "unauthenticated"


async def test_a_taken_address_gets_the_same_answer_for_the_same_work_and_stays_whose_it_is(
    guest: Client, monkeypatch: pytest.MonkeyPatch, sync_database: SyncDatabase
) -> None:
    hashed: list[str] = []
    real = PasswordHasher.hash

    def counting(self: PasswordHasher, password: str) -> str:
        hashed.append(password)
        return real(self, password)

    monkeypatch.setattr(PasswordHasher, "hash", counting)
    body = registration()
    first = await guest.call("POST", "/auth/register", body)
    again = registration(email=str(body["email"]).upper(), password="battery staple", display_name="Mallory")
    second = await guest.call("POST", "/auth/register", again)

    assert (first.status, first.body) == (second.status, second.body)
    assert set(first.headers) == set(second.headers)
    assert len(hashed) == 2
    stolen = {"email": body["email"], "password": "battery staple"}
    assert await guest.refused("POST", "/auth/login", stolen) == "invalid_credentials"
    await guest.post("/auth/login", {"email": body["email"], "password": PASSWORD})
    with sync_database.transaction() as session:
        kinds = session.scalars(select(AccountEmail.kind).where(AccountEmail.address == body["email"]))
        assert list(kinds) == [AccountEmailKind.ADDRESS_TAKEN]


@pytest.mark.parametrize(
    "password",
    [
        "password123",
        "PassWord2024!!",
        "1q2w3e4r5t",
        "Ann.Smith@Example.org",
        "ann.smith1990",
        "ANN THE GREAT!1",
    ],
)
async def test_a_password_that_guessers_try_first_is_refused(guest: Client, password: str) -> None:
    body = {"email": "ann.smith@example.org", "password": password, "display_name": "Ann the Great"}
    assert await guest.refused("POST", "/auth/register", body) == "password_too_common"


@pytest.mark.parametrize("password", ["correct horse", "9f1c2a7d44be", "비밀번호는열자이상입니다"])
async def test_any_other_password_of_ten_characters_will_do(guest: Client, password: str) -> None:
    await guest.post("/auth/register", registration(password=password))


async def test_logging_out_ends_one_session_only(guest: Client) -> None:
    body = registration()
    await guest.post("/auth/register", body)
    credentials = {"email": body["email"], "password": PASSWORD}
    first, second = [(await guest.post("/auth/login", credentials))["access_token"] for _ in range(2)]
    guest.token = first
    await guest.post("/auth/logout")
    guest.token = second
    await guest.get("/me")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ann"),
        ("email", "ann@localhost"),
        ("email", "ann@@example.org"),
        ("email", " ann@example.org"),
        ("email", "ann@example.org\n"),
        ("email", "änn@example.org"),
        ("email", "x,ann@example.org"),
        ("email", "(x)ann@example.org"),
        ("email", '"x"ann@example.org'),
        ("email", "x:ann;@example.org"),
        ("email", "ann\0@example.org"),
        ("email", "a" * 250 + "@example.org"),
        ("password", "too short"),
        ("password", "x" * 129),
        ("display_name", ""),
        ("display_name", "   "),
        ("display_name", "x" * 51),
        ("display_name", "Ann\0"),
        ("display_name", "Ann\nBob"),
        ("language", "fr"),
    ],
)
async def test_registration_names_the_field_that_is_wrong(guest: Client, field: str, value: str) -> None:
    answer = await guest.call("POST", "/auth/register", registration(**{field: value}))
    assert answer.body["code"] == "invalid_body"
    assert [error["field"] for error in answer.body["errors"]] == [field]


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer_for_the_same_work(
    guest: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = registration()
    await guest.post("/auth/register", body)
    verified: list[str] = []
    real = PasswordHasher.verify

    def counting(self: PasswordHasher, password_hash: str, password: str) -> bool:
        verified.append(password_hash)
        return real(self, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", counting)
    known = await guest.call("POST", "/auth/login", {"email": body["email"], "password": "wrong password"})
    unknown = await guest.call(
        "POST", "/auth/login", {"email": f"{uuid4()}@example.org", "password": PASSWORD}
    )

    assert known.status == unknown.status == 401
    assert known.body["code"] == unknown.body["code"] == "invalid_credentials"
    assert known.body["detail"] == unknown.body["detail"]
    assert len(verified) == 2
    parameters = [password_hash.split("$")[1:4] for password_hash in verified]
    assert parameters[0] == parameters[1] == ["argon2id", "v=19", "m=19456,t=2,p=1"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/register", registration()),
        ("/auth/login", {"email": "ann@example.org", "password": PASSWORD}),
    ],
)
async def test_when_too_many_passwords_wait_the_next_is_told_so(
    guest: Client, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    monkeypatch.setattr(passwords, "MAX_PENDING", 0)
    assert await guest.refused("POST", path, body) == "busy"


async def test_an_expired_session_is_over(person: People) -> None:
    assert await person(session_ttl_s=0).refused("GET", "/me") == "unauthenticated"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_of_the_token_is_read_in_any_case(
    guest: Client, person: People, scheme: str
) -> None:
    token = person().token
    assert (await guest.call("GET", "/me", headers={"Authorization": f"{scheme} {token}"})).status == 200


@pytest.mark.parametrize(
    "forge",
    [lambda token: f"Basic {token}", lambda token: token, lambda token: f"Bearer {token}x", lambda _: ""],
)
async def test_anything_but_a_bearer_token_is_refused(
    guest: Client, person: People, forge: Callable[[str | None], str]
) -> None:
    header = {"Authorization": forge(person().token)}
    assert await guest.refused("GET", "/me", headers=header) == "unauthenticated"
