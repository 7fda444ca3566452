"""`./neighborbid createadmin`, `ban` and `unban`."""

import io
from dataclasses import replace

import pytest
import redis
from argon2 import PasswordHasher
from structlog.testing import capture_logs

from market import accounts, sessions
from market.errors import Refusal
from market.sessions import Lifetime, RefreshToken
from server import admin
from server.errors import Failure
from server.settings import Settings
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from store.vault import Vault
from tests.database import NO_PASSWORD, make_user

PASSWORD = "correct horse"
LIFETIME = Lifetime(60, 60)
VAULT = Vault({"test": bytes(32)})


def create(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> bool:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return admin.create(replace(settings, database_url=database_url), email)


def test_an_admin_is_made_with_the_password_from_stdin(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{new_id()}@example.org"
    assert not create(settings, database_url, monkeypatch, email, PASSWORD)

    with sync_database.transaction() as session:
        user_id, password_hash = accounts.login_data(session, email) or (new_id(), "")
        assert accounts.profile(session, user_id).role is Role.ADMIN
    assert PasswordHasher().verify(password_hash, PASSWORD)


def test_an_account_that_is_there_becomes_an_admins_and_keeps_its_password(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sync_database.transaction() as session:
        user_id = make_user(session)
        email = accounts.profile(session, user_id).email
    for _ in range(2):
        assert create(settings, database_url, monkeypatch, email.upper(), password="")
    with sync_database.transaction() as session:
        assert accounts.profile(session, user_id).role is Role.ADMIN
        assert accounts.password_hash(session, user_id) == NO_PASSWORD


class Terminal(io.StringIO):
    """A stdin with a person before it."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_password_is_asked_twice(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, email = replace(settings, database_url=database_url), f"{new_id()}@example.org"
    monkeypatch.setattr("sys.stdin", Terminal())
    typed = iter([PASSWORD, "correct hoarse", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    with pytest.raises(Failure, match="different"):
        admin.create(here, email)
    assert not admin.create(here, email)
    assert list(typed) == []
    with sync_database.transaction() as session:
        assert accounts.login_data(session, email) is not None


@pytest.mark.parametrize(
    ("email", "password", "problem"),
    [
        ("x@example.org", "password123", "Guessers"),
        ("nobody", PASSWORD, "e-mail"),
        ("x@example.org", "short", "10 to 128"),
        ("x@example.org", "", "10 to"),
    ],
)
def test_what_nobody_could_log_in_with_is_refused(
    settings: Settings,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    email: str,
    password: str,
    problem: str,
) -> None:
    with pytest.raises(Failure, match=problem):
        create(settings, database_url, monkeypatch, email, password)


def test_a_ban_ends_all_sessions_tells_the_sockets_and_can_be_lifted(
    settings: Settings, database_url: str, redis_url: str, sync_database: SyncDatabase
) -> None:
    here = replace(settings, database_url=database_url, redis_url=redis_url)
    with sync_database.transaction() as session:
        user_id = make_user(session)
        email = accounts.profile(session, user_id).email
        gone = sessions.open_session(session, user_id, RefreshToken.new(), LIFETIME)

    def log_in() -> None:
        with sync_database.transaction() as session:
            sessions.log_in(session, VAULT, user_id, NO_PASSWORD, None, RefreshToken.new(), LIFETIME)

    for _ in range(2):
        with capture_logs() as logs:
            admin.ban(here, email)
        assert [(event["event"], event["user_id"]) for event in logs] == [("user_banned", str(user_id))]
        with pytest.raises(Refusal) as refused:
            log_in()
        assert refused.value.code == "banned"
    with sync_database.transaction() as session:
        assert sessions.authenticate(session, gone, user_id) is None
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(f"revoked:{gone}")

    admin.lift_ban(here, email)
    log_in()
    with pytest.raises(Failure, match="Nobody"):
        admin.ban(here, "nobody@example.org")
