"""Fixtures of the store's tests, in a Redis database of their own."""

from collections.abc import Iterator

import pytest

from store.redis.clients import SyncHot


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--state-machine-steps",
        type=int,
        default=2000,
        help="steps in which scripts and rules are compared (give it with tests/store as the path)",
    )


@pytest.fixture
def redis_url(redis_urls: tuple[str, str]) -> str:
    """A database that may be emptied: what runs beside this has others."""
    return redis_urls[1]


@pytest.fixture
def sync_hot(redis_url: str) -> Iterator[SyncHot]:
    """An empty Redis database."""
    hot = SyncHot.connect(redis_url)
    hot.client.flushdb()
    yield hot
    hot.client.flushdb()
    hot.client.close()
