"""An operator who runs commands by night."""

from dataclasses import dataclass
from uuid import UUID

import pytest

from market.accounts import sessions
from market.accounts.sessions import Lifetime, RefreshToken
from server import cli, operator_actions
from server.settings import Settings
from store.database import SyncDatabase
from store.vault import Vault
from tests.support.factories import NO_PASSWORD

WHY = "A reason"

LIFETIME = Lifetime(60, 60)

VAULT = Vault({"test": bytes(32)})


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
