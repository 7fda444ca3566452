"""Two realtime processes in one, each with its own port, on the Redis of the tests."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from realtime.limits import Limits
from store.redis import switches
from store.redis.clients import Hot
from store.redis.switches import Switches
from tests.support.live_client import Client
from tests.support.realtime import Connect, Launch, Process, start, stop


@pytest.fixture(autouse=True)
async def switched_on(hot: Hot) -> None:
    """Redis knows the switches, as it does while a worker runs."""
    await hot.client.delete(switches.KEY)
    await hot.run(switches.put(0, Switches()))


@pytest.fixture
def limits() -> Limits:
    """The limits of the processes; a test module or test may have its own."""
    return Limits()


@pytest.fixture
async def launch(redis_url: str) -> AsyncIterator[Launch]:
    """Starts processes, `launch(name, limits)` or `launch(name, limits, redis_url)`, and stops them after the test."""
    processes: list[Process] = []

    async def launch(name: str, limits: Limits, url: str = redis_url) -> Process:
        processes.append(await start(url, name, limits))
        return processes[-1]

    yield launch
    for process in processes:
        await stop(process)


@pytest.fixture
async def processes(launch: Launch, limits: Limits) -> tuple[Process, Process]:
    """Two processes that share Redis."""
    return await launch("one", limits), await launch("two", limits)


@pytest.fixture
async def url(launch: Launch, limits: Limits) -> str:
    """One process."""
    return (await launch("one", limits)).url


@pytest.fixture
async def connect(hot: Hot) -> AsyncIterator[Connect]:
    """Opens clients, `connect(url)` or `connect(url, user, session)`, and closes them after the test."""
    clients: list[Client] = []

    async def connect(url: str, user: UUID | None = None, session: UUID | None = None) -> Client:
        clients.append(await Client.open(url, user, hot, session))
        return clients[-1]

    yield connect
    for client in clients:
        await client.leave()
