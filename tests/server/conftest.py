"""A HOME of its own for each test; nothing is started there. And somebody who runs commands by night."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from market.accounts import accounts, sessions
from market.accounts.sessions import Lifetime, RefreshToken
from server import cli, operator_actions
from server.settings import Settings, load
from store.database import SyncDatabase
from store.vault import Vault
from tests.support.database import NO_PASSWORD, make_user
from tests.support.settings import at

WHY = "A reason"
LIFETIME = Lifetime(60, 60)
VAULT = Vault({"test": bytes(32)})


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home: Path) -> Iterator[Settings]:
    loaded = load({"NEIGHBORBID_HOME": str(home)})
    yield loaded
    if loaded.state_dir != loaded.var:
        shutil.rmtree(loaded.state_dir, ignore_errors=True)


@dataclass(frozen=True)
class Night:
    """An operator at the machine, and a user."""

    settings: Settings
    database: SyncDatabase
    user_id: UUID
    email: str
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def noted(self, about: object = None) -> list[tuple[str, str | None, str]]:
        """What the audit log says of the user, or of something else: action, operator and reason, the newest first."""
        return [
            (entry.action, entry.operator, entry.reason)
            for entry in operator_actions.entries(self.settings, str(about or self.email), 100)
        ]

    def said(self, *arguments: str) -> str:
        """What `admin` with these arguments says. It succeeds."""
        assert self._run(*arguments) == 0
        return self.capsys.readouterr().out

    def failed(self, *arguments: str) -> str:
        """What `admin` with these arguments complains of."""
        assert self._run(*arguments) == 1
        return self.capsys.readouterr().err

    def _run(self, *arguments: str) -> int:
        self.monkeypatch.setattr("sys.argv", ["neighborbid", "admin", *arguments])
        return cli.main()

    def open_session(self) -> UUID:
        with self.database.transaction() as session:
            return sessions.open_session(session, self.user_id, RefreshToken.new(), LIFETIME)

    def log_in(self) -> None:
        with self.database.transaction() as session:
            sessions.log_in(session, VAULT, self.user_id, NO_PASSWORD, None, RefreshToken.new(), LIFETIME)

    def is_open(self, session_id: UUID) -> bool:
        with self.database.transaction() as session:
            return sessions.authenticate(session, session_id, self.user_id) is not None


@pytest.fixture
def night(
    settings: Settings,
    database_url: str,
    redis_url: str,
    sync_database: SyncDatabase,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Night:
    monkeypatch.setenv("SUDO_USER", "olga")
    with sync_database.transaction() as session:
        user_id = make_user(session)
        email = accounts.profile(session, user_id).email
    here = at(settings, database=database_url, redis=redis_url)
    monkeypatch.setattr("server.settings.load_or_exit", lambda: here)
    return Night(here, sync_database, user_id, email, capsys, monkeypatch)
