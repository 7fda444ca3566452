"""The realtime process while Redis is away."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient

from server.settings import REPO
from tests.support.ports import free_port, get, until_served


@pytest.fixture
async def port(home: Path) -> AsyncIterator[int]:
    """The port of a process whose Redis does not answer. At the end it is asked to stop, and does."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server.realtime", "--port", str(port)),
        cwd=REPO,
        env={**os.environ, "NEIGHBORBID_HOME": str(home), "REDIS_URL": "redis://127.0.0.1:1/0"},
    )
    yield port
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_it_listens_and_says_that_it_is_not_ready(port: int) -> None:
    await until_served(port)
    response = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/readyz", raise_error=False)
    assert response.code == 503
    assert response.body == b'{"realtime":"NotReady"}'
    assert (await get(port, "/metrics")).code == 200
