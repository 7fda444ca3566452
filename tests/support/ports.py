"""Ports of this machine, and processes that listen there."""

import os
from itertools import count
from random import randrange

from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from server.instance import is_free
from tests.support.waiting import until

CLOSED_PORT = 1
"""Nobody listens there."""


async def get(port: int, path: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{port}{path}", raise_error=False, headers={"X-Request-ID": "request-0001"}
    )


_CANDIDATES = count(
    10_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + randrange(500)
)


def free_port() -> int:
    """A port for a server that starts a moment later: no other test process gets it meanwhile, nor any outgoing
    connection, whose ports the kernel takes from a higher range."""
    return next(port for port in _CANDIDATES if is_free(port))


async def until_served(port: int) -> HTTPResponse:
    async def served() -> HTTPResponse | None:
        try:
            response = await get(port, "/healthz")
        except ConnectionRefusedError:
            return None
        return response if response.code == 200 else None

    return await until(served)
