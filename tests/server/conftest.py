"""A HOME of its own for each test; nothing is started there. And somebody who runs commands by night."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from market.accounts import accounts
from server.settings import Settings, load
from store.database import SyncDatabase
from tests.support.factories import make_user
from tests.support.operator import Night
from tests.support.settings import at


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home: Path) -> Iterator[Settings]:
    loaded = load({"NEIGHBORBID_HOME": str(home)})
    yield loaded
    if loaded.state_dir != loaded.var:
        shutil.rmtree(loaded.state_dir, ignore_errors=True)


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
