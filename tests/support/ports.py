"""Ports of this machine, and processes that listen there."""

from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.testing import bind_unused_port

from tests.support.waiting import until

CLOSED_PORT = 1
"""Nobody listens there."""


async def get(port: int, path: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{port}{path}", raise_error=False, headers={"X-Request-ID": "request-0001"}
    )


def free_port() -> int:
    sock, port = bind_unused_port()
    sock.close()
    return port


async def until_served(port: int) -> HTTPResponse:
    async def served() -> HTTPResponse | None:
        try:
            response = await get(port, "/healthz")
        except ConnectionRefusedError:
            return None
        return response if response.code == 200 else None

    return await until(served)
