"""`./neighborbid createadmin`."""

import io
from dataclasses import replace

import pytest
from argon2 import PasswordHasher

from market import accounts
from server import admin
from server.errors import Failure
from server.settings import Settings
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role

PASSWORD = "correct horse"


def create(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    admin.create(replace(settings, database_url=database_url), email)


def test_an_admin_is_made_with_the_password_from_stdin_and_only_once(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{new_id()}@example.org"
    create(settings, database_url, monkeypatch, email, PASSWORD)

    with sync_database.transaction() as session:
        user_id, password_hash = accounts.login_data(session, email) or (new_id(), "")
        assert accounts.profile(session, user_id).role is Role.ADMIN
    assert PasswordHasher().verify(password_hash, PASSWORD)
    with pytest.raises(Failure, match="already"):
        create(settings, database_url, monkeypatch, email, PASSWORD)


@pytest.mark.parametrize(
    ("email", "password", "problem"),
    [("nobody", PASSWORD, "e-mail"), ("a@example.org", "short", "10 to 128"), ("a@example.org", "", "10 to")],
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
