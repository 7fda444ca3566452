"""The tasks' own Redis database, emptied before each test, and a stage to play on."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from store.database import SyncDatabase
from store.hot import SyncHot
from store.media.interface import Media
from tasks.app import Resources, configure
from tasks.post import Folder, PostOffice
from tests.tasks.stage import Stage

REDIS_DATABASE = 5
"""These tests lose the hot state on purpose, so they do not share it."""


@pytest.fixture
def redis_url() -> str:
    server = urlsplit(os.environ.get("REDIS_URL", "redis://127.0.0.1:16379"))
    return server._replace(path=f"/{REDIS_DATABASE}").geturl()


@pytest.fixture
def mail_dir(tmp_path: Path) -> Path:
    """Where mails come to lie."""
    return tmp_path / "mail"


@pytest.fixture
def resources(database_url: str, redis_url: str, media: Media, mail_dir: Path) -> Iterator[Resources]:
    post = PostOffice(Folder(mail_dir), "from@example.org", "https://bid.example")
    configure(database_url=database_url, redis_url=redis_url, broker_url=redis_url, media=media, post=post)
    hot = SyncHot.connect(redis_url)
    hot.client.flushdb()
    database = SyncDatabase(database_url, hot)
    yield Resources(database, hot, media, post)
    database.dispose()
    hot.client.close()


@pytest.fixture
def stage(resources: Resources) -> Stage:
    return Stage(resources)
