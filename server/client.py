"""A client of NeighborBid's own API, as the demo, the system tests and the load generators use it."""

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urljoin

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect
from urllib3 import encode_multipart_formdata

Message = dict[str, Any]

REQUEST_TIMEOUT_S = 10

_BROKEN = (HTTPClientError, StreamClosedError, WebSocketError, OSError)


class Problem(Exception):
    """The API refused: `code` and `status` as in its problem document."""

    def __init__(self, status: int, document: Message) -> None:
        super().__init__(f"{status} {document.get('code')}: {document.get('detail')}")
        self.status = status
        self.code = str(document.get("code"))
        self.document = document


class Disconnected(Exception):
    """The connection broke, or no answer came: whether the request took effect is unknown."""


class Api:
    """REST under `base_url`, as one user once `log_in` was called, for as long as the session lives."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.access_token: str | None = None
        self._refresh_token: str | None = None
        self._refreshing = asyncio.Lock()
        self._http = AsyncHTTPClient()

    async def request(self, method: str, path: str, body: Message | None = None) -> Message:
        """Call `path` below `/api/v1`. Raises `Problem` on a refusal, `Disconnected` without an answer."""
        used = self.access_token
        try:
            return await self._call(method, path, body)
        except Problem as problem:
            if problem.code != "unauthenticated" or self._refresh_token is None:
                raise
        async with self._refreshing:
            if self.access_token == used:
                self._take(await self._refresh(self._refresh_token))
        return await self._call(method, path, body)

    async def _refresh(self, token: str) -> Message:
        body = {"refresh_token": token}
        try:
            return await self._call("POST", "/auth/refresh", body)
        except Disconnected:
            # If only the answer was lost, asking again soon gets the same one.
            return await self._call("POST", "/auth/refresh", body)

    async def _call(self, method: str, path: str, body: Message | None) -> Message:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.access_token:
            headers["Authorization"] = f"Bearer {self.access_token}"
        request = HTTPRequest(
            f"{self.base_url}/api/v1{path}",
            method=method,
            headers=headers,
            body=json.dumps(body) if body is not None else None,
            allow_nonstandard_methods=True,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        try:
            response = await self._http.fetch(request, raise_error=False)
        except _BROKEN as error:
            raise Disconnected(str(error)) from error
        document: Message = json.loads(response.body) if response.body else {}
        if response.code >= 400:
            raise Problem(response.code, document)
        return document

    async def get(self, path: str) -> Message:
        """Read `path`."""
        return await self.request("GET", path)

    async def post(self, path: str, body: Message | None = None) -> Message:
        """Do what `path` stands for."""
        return await self.request("POST", path, {} if body is None else body)

    async def send_photo(self, path: str, content: bytes, content_type: str) -> Message:
        """Announce a photo at `path`, send it, say that it is complete: your photo, which is ready within seconds."""
        announced = await self.post(path, {"size": len(content), "content_type": content_type})
        await send_upload(self.base_url, announced["upload"], content, content_type)
        return await self.post(f"/photos/{announced['id']}/complete")

    async def log_in(self, email: str, password: str) -> Self:
        """Act as this user from now on."""
        self._take(await self._call("POST", "/auth/login", {"email": email, "password": password}))
        return self

    def _take(self, tokens: Message) -> None:
        self.access_token, self._refresh_token = tokens["access_token"], tokens["refresh_token"]


async def send_upload(base_url: str, upload: Message, content: bytes, content_type: str) -> None:
    """Send a file where `upload` says, as the body or in its form. Raises `Disconnected`, also when it is not taken."""
    body, headers = content, dict(upload["headers"])
    if upload["fields"]:
        file = ("file", content, content_type)
        body, headers["Content-Type"] = encode_multipart_formdata([*upload["fields"].items(), ("file", file)])
    request = HTTPRequest(
        urljoin(base_url, upload["url"]),
        method=upload["method"],
        headers=headers,
        body=body,
        request_timeout=REQUEST_TIMEOUT_S,
    )
    try:
        await AsyncHTTPClient().fetch(request)
    except _BROKEN as error:
        raise Disconnected(str(error)) from error


class LiveSocket:
    """One connection to `/ws/live`. Every message, replies too, goes to `on_message` in the order in which it came."""

    def __init__(self, connection: WebSocketClientConnection, on_message: Callable[[Message], None]) -> None:
        self._connection = connection
        self._on_message = on_message
        self._refs = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self.closed = asyncio.create_task(self._read())
        """Done when the connection has ended; its result is the code with which the server closed it, if it did."""

    @classmethod
    async def open(
        cls, base_url: str, on_message: Callable[[Message], None], origin: str | None = None
    ) -> Self:
        """Connect, as a page of `origin` would if given. Raises `Disconnected` when that fails."""
        request = HTTPRequest(
            base_url.replace("http", "ws", 1) + "/ws/live",
            headers={"Origin": origin} if origin else {},
            connect_timeout=REQUEST_TIMEOUT_S,
        )
        try:
            return cls(await websocket_connect(request), on_message)
        except _BROKEN as error:
            raise Disconnected(str(error)) from error

    async def _read(self) -> int | None:
        while (text := await self._connection.read_message()) is not None:
            message: Message = json.loads(text)
            self._on_message(message)
            waiting = self._waiting.pop(message.get("ref", ""), None)
            if waiting and not waiting.done():
                waiting.set_result(message)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Disconnected("the connection closed"))
        self._connection.close()
        return self._connection.close_code

    async def request(self, kind: str, ref: str = "", **fields: Any) -> Message:
        """Send a message and wait for the reply that repeats its `ref`. Raises `Disconnected` without a reply."""
        if self.closed.done():
            raise Disconnected("the connection is closed")
        ref = ref or f"c{next(self._refs)}"
        reply = self._waiting[ref] = asyncio.get_running_loop().create_future()
        try:
            await self._connection.write_message(json.dumps({"type": kind, "ref": ref, **fields}))
            return await asyncio.wait_for(reply, REQUEST_TIMEOUT_S)
        except (TimeoutError, *_BROKEN) as error:
            raise Disconnected(str(error)) from error
        finally:
            self._waiting.pop(ref, None)

    async def close(self) -> None:
        """Say goodbye and wait for the end."""
        self._connection.close()
        await self.closed

    def drop(self) -> None:
        """Break the connection without a goodbye, as a phone in a tunnel does."""
        if (protocol := self._connection.protocol) and protocol.stream:
            protocol.stream.close()
