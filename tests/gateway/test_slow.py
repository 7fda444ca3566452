"""Clients that send as slowly as they can."""

import asyncio
from contextlib import suppress
from time import monotonic

from tests.support.gateway import Gateway, StartGateway

CUT_S = 15
"""Nginx's own times are 10 s."""

HEADER = b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n"
BODY = b"POST /api/v1/me HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"


async def seconds_until_cut(gateway: Gateway, start: bytes, drip: bytes) -> float:
    """Sends `start`, then `drip` every half second, until the gateway gives up."""
    begun = monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.settings.gateway.http_port)
    end = asyncio.create_task(reader.read())
    try:
        writer.write(start)
        while not end.done() and monotonic() - begun < 2 * CUT_S:
            if drip:
                writer.write(drip)
            await asyncio.wait([end], timeout=0.5)
        return monotonic() - begun
    finally:
        end.cancel()
        with suppress(ConnectionError, asyncio.CancelledError):
            await end
        writer.transport.abort()


async def test_slow_clients_are_cut(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    slow = {
        "silent": (b"", b""),
        "half a header": (HEADER, b""),
        "one more header again and again": (HEADER, b"X-A: b\r\n"),
        "half a body": (BODY, b""),
    }
    # Many at once, and a client of good faith is served all the same.
    took = asyncio.gather(*(seconds_until_cut(gateway, *one) for one in list(slow.values()) * 25))
    assert (await gateway.ask("GET", "/api/v1/me")).status == 200
    assert max(await took) < CUT_S
    assert [seen.method for seen in gateway.echo.seen] == ["GET"], "no process ever saw a slow one"
