"""A HOME of its own for each test; nothing is started there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.settings import Settings, load


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home: Path) -> Iterator[Settings]:
    loaded = load({"NEIGHBORBID_HOME": str(home)})
    yield loaded
    if loaded.state_dir != loaded.var:
        shutil.rmtree(loaded.state_dir, ignore_errors=True)
