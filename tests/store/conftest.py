"""Fixtures of the store's tests, in a Redis database of their own."""

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from store.redis.clients import SyncHot

REDIS_DATABASE = 7


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--state-machine-steps",
        type=int,
        default=2000,
        help="steps in which scripts and rules are compared (give it with tests/store as the path)",
    )


@pytest.fixture
def redis_url() -> str:
    """The test server, at a database that only the store's tests use."""
    server = urlsplit(os.environ.get("REDIS_URL", "redis://127.0.0.1:16379"))
    return server._replace(path=f"/{REDIS_DATABASE}").geturl()


@pytest.fixture
def sync_hot(redis_url: str) -> Iterator[SyncHot]:
    """An empty Redis database."""
    hot = SyncHot.connect(redis_url)
    hot.client.flushdb()
    yield hot
    hot.client.flushdb()
    hot.client.close()
