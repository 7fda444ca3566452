"""A Tornado process of ours, run in this process: its health pages, its logs and its graceful stop."""

import asyncio
import io
import json
import logging
import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from tornado.httpclient import AsyncHTTPClient
from tornado.web import RequestHandler

from server import health, logs, process
from server.health import Readiness
from tests.support.ports import free_port, get, until_served
from tests.support.waiting import until


class Slow(RequestHandler):
    """Answers when the test says so."""

    def initialize(self, started: asyncio.Event, release: asyncio.Event) -> None:
        self._started, self._release = started, release

    async def get(self) -> None:
        self._started.set()
        await self._release.wait()
        self.write("done")


class Broken(RequestHandler):
    def get(self) -> None:
        password = "hunter2"  # a local variable, which no log may show
        raise ValueError(len(password))


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged when logging is set up as in a process; undone afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("rest-1", "info")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


async def test_a_running_request_is_finished_after_sigterm_and_new_ones_are_refused() -> None:
    started, release = asyncio.Event(), asyncio.Event()
    port, readiness = free_port(), Readiness({})
    application = process.ServerApplication(
        [("/slow", Slow, {"started": started, "release": release}), *health.routes(readiness)]
    )
    serving = asyncio.create_task(
        process.serve(application, port, readiness, lambda s: process.finish_requests(application, s))
    )
    await until_served(port)
    running = asyncio.create_task(get(port, "/slow"))
    await started.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    await until(lambda: readiness.stopping)
    with pytest.raises(ConnectionRefusedError):
        await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/healthz")
    assert not serving.done()
    release.set()
    response = await running
    assert (response.code, response.body) == (200, b"done")
    # Otherwise the gateway would send its next request into a closing process.
    assert response.headers["Connection"] == "close"
    await asyncio.wait_for(serving, 5)


async def test_readiness_names_what_is_away_without_its_message() -> None:
    async def away() -> None:
        raise ConnectionError("redis://:s3cret@host")

    async def fine() -> None:
        pass

    report = await Readiness({"redis": away, "postgresql": fine}).report()
    assert report == {"redis": "ConnectionError", "postgresql": "ok"}


async def test_a_stopping_process_is_not_ready() -> None:
    readiness = Readiness({})
    readiness.stopping = True
    assert await readiness.report() == {"process": "stopping"}


async def test_logs_carry_the_request_id_and_no_query_string_or_local_variable(
    written: io.StringIO,
) -> None:
    port, readiness = free_port(), Readiness({})
    application = process.ServerApplication([("/broken", Broken), *health.routes(readiness)])
    serving = asyncio.create_task(process.serve(application, port, readiness, lambda _: asyncio.sleep(0)))
    await until_served(port)
    assert (await get(port, "/broken?ticket=s3cret")).code == 500
    metrics = (await get(port, "/metrics")).body.decode()
    assert 'neighborbid_http_requests_total{handler="Broken",method="GET",status="500"} 1.0' in metrics
    os.kill(os.getpid(), signal.SIGTERM)
    await serving
    assert "s3cret" not in written.getvalue()
    assert "hunter2" not in written.getvalue()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    events = {line["event"]: line for line in lines if line.get("request_id") == "request-0001"}
    assert events["uncaught_exception"]["exception"][0]["exc_type"] == "ValueError"
    assert events["request"]["path"] == "/broken"
    assert events["request"]["status"] == 500
    assert {line["process"] for line in lines} == {"rest-1"}
