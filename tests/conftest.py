"""What every test can use: `async def` tests and fixtures on one loop per test, and Redis.

pytest-tornasync runs `async def` tests on the fixture `io_loop`. Here that loop is a fresh uvloop, left without any
task at the end, and `async def` fixtures run on it too.

A test that hangs fails by itself (--async-test-timeout in pyproject.toml, `FIXTURE_TIMEOUT_S` here). What even that
cannot end, such as a blocked loop, ends the whole run with the stack of every thread (pytest-timeout).
"""

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from tornado.ioloop import IOLoop
from tornado.platform.asyncio import AsyncIOLoop

from realtime.background import stop_all
from store.redis.clients import Hot, SyncHot

pytest.register_assert_rewrite("tests.support")

pytest_plugins = ["tests.support.database", "tests.support.media", "tests.support.system"]

FIXTURE_TIMEOUT_S = 40
CLOSE_TIMEOUT_S = 5


@pytest.fixture(autouse=True)
def io_loop() -> Iterator[IOLoop]:
    """The loop of one test."""
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    io_loop = AsyncIOLoop(asyncio_loop=loop, make_current=False)
    yield io_loop
    io_loop.run_sync(_cancel_the_rest, FIXTURE_TIMEOUT_S)
    asyncio.set_event_loop(None)
    # What a failed test left open is a ResourceWarning, hence an error, in the midst of uvloop's clean-up, which then
    # waits for ever for that handle.
    closing = threading.Thread(target=io_loop.close, kwargs={"all_fds": True}, daemon=True)
    closing.start()
    closing.join(CLOSE_TIMEOUT_S)


async def _cancel_the_rest() -> None:
    loop = asyncio.get_running_loop()
    await stop_all(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Run an `async def` fixture, returning or yielding, on the test's loop."""
    function = fixturedef.func
    if inspect.isasyncgenfunction(function):
        replacement = _run_generator(function, request)
    elif inspect.iscoroutinefunction(function):
        replacement = _run_coroutine(function, request)
    else:
        return (yield)
    # pytest offers no way to call a fixture differently; the definition is restored at once.
    fixturedef.func = replacement  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = function  # type: ignore[misc]


def _run_coroutine(function: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    loop: IOLoop = request.getfixturevalue("io_loop")
    return lambda **fixtures: loop.run_sync(functools.partial(function, **fixtures), FIXTURE_TIMEOUT_S)


def _run_generator(function: Callable[..., Any], request: pytest.FixtureRequest) -> Callable[..., Any]:
    loop: IOLoop = request.getfixturevalue("io_loop")

    def run(**fixtures: Any) -> Any:
        generator = function(**fixtures)

        async def finish() -> None:
            async for _ in generator:
                raise RuntimeError("an async fixture yields once")

        value = loop.run_sync(lambda: anext(generator), FIXTURE_TIMEOUT_S)
        request.addfinalizer(lambda: loop.run_sync(finish, FIXTURE_TIMEOUT_S))
        return value

    return run


@pytest.fixture(scope="session")
def redis_urls() -> tuple[str, str]:
    """Two databases of the test server that only the tests of this process use: of those that run at once, each has
    its own pair. Redis has sixteen, and the first two are the instance's."""
    server = urlsplit(os.environ.get("REDIS_URL", "redis://127.0.0.1:16379"))
    first = 2 + 2 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    shared, emptied = (server._replace(path=f"/{number}").geturl() for number in (first, first + 1))
    return shared, emptied


@pytest.fixture(scope="session")
def redis_url(redis_urls: tuple[str, str]) -> str:
    """The database that tests share, so they use ids of their own."""
    return redis_urls[0]


@pytest.fixture
async def hot(redis_url: str) -> AsyncIterator[Hot]:
    """The hot state, on the test's loop."""
    hot = Hot.connect(redis_url)
    yield hot
    await hot.close()


@pytest.fixture
def sync_hot(redis_url: str) -> Iterator[SyncHot]:
    """The hot state, as Celery uses it."""
    hot = SyncHot.connect(redis_url)
    yield hot
    hot.client.close()
