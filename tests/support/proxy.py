"""A TCP proxy before Redis that can cut connections and lose replies."""

import asyncio
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(eq=False)
class _Link:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    sent: bytes = b""
    deaf: bool = False


class Proxy:
    """Passes everything on until told otherwise."""

    def __init__(self, redis_url: str) -> None:
        self._target = urlsplit(redis_url)
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    @property
    def url(self) -> str:
        """Redis, seen through the proxy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._target.netloc.rpartition("@")
        return self._target._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()

    def deafen(self, word: str) -> None:
        """Lose all further replies on the connections that have sent `word`. Their commands still reach Redis."""
        for link in self._links:
            link.deaf |= word.encode() in link.sent

    def cut(self) -> None:
        """Break every connection."""
        for link in self._links:
            link.client.transport.abort()
            link.server.transport.abort()

    async def stop(self) -> None:
        """Break everything and accept nothing more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        redis_reader, redis_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        link = _Link(writer, redis_writer)
        self._links.add(link)
        await asyncio.gather(
            self._requests(link, reader), self._replies(link, redis_reader), return_exceptions=True
        )
        self._links.discard(link)

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            link.sent += data
            link.server.write(data)
        link.server.close()

    async def _replies(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            if not link.deaf:
                link.client.write(data)
        link.client.close()
