"""Realtime processes inside the tests' own process."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from realtime.limits import Limits
from realtime.service import Realtime
from tests.support.live_client import Client

Connect = Callable[..., Awaitable[Client]]


Launch = Callable[..., Awaitable["Process"]]


@dataclass
class Process:
    """A running service and where it listens."""

    realtime: Realtime
    server: HTTPServer
    url: str


async def start(redis_url: str, name: str, limits: Limits) -> Process:
    """Start a realtime service on a free port. `draining` it stops it."""
    realtime = Realtime(
        redis_url, allowed_origins=frozenset({"https://friend.example"}), process_name=name, limits=limits
    )
    await realtime.start()
    server = HTTPServer(Application(realtime.routes()))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    return Process(realtime, server, f"ws://127.0.0.1:{port}/ws/live")


async def stop(process: Process) -> None:
    """Drain and stop listening."""
    process.server.stop()
    await process.realtime.drain(1)
    await process.server.close_all_connections()
