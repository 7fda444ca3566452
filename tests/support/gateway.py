"""Gateways as `server.render` makes them, with an echo behind, and how to talk to them."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tornado.web import RequestHandler

from server import binaries
from server.cli import say
from server.settings import Settings

READ_TIMEOUT_S = 20

Headers = dict[str, str]

SECURITY: Headers = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), payment=()",
}


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are in lower case; repeated ones are joined by commas."""

    status: int
    headers: Headers
    body: bytes


def parse(text: bytes) -> Answer:
    """The one answer in `text`, of a connection that was closed after it."""
    head, _, body = text.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers: Headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Answer(int(status.split(" ")[1]), headers, body)


async def exchange(port: int, data: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Sends `data` and returns all that came until the other side closed, or the body was whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    text = b""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            writer.write(data)
            while not is_whole(text) and (more := await reader.read(65536)):
                text += more
    except (ConnectionResetError, BrokenPipeError):
        # What it had to say came before.
        pass
    finally:
        writer.transport.abort()
    return text


def is_whole(text: bytes) -> bool:
    """Whether all of the announced body is there: Nginx may stay to read what is still sent."""
    length = re.search(rb"(?i)\r\nContent-Length: ([0-9]+)\r\n", text)
    _, end, body = text.partition(b"\r\n\r\n")
    return bool(end) and length is not None and len(body) >= int(length[1])


def request(method: str, path: str, headers: Headers | None = None, body: bytes = b"") -> bytes:
    """The text of a request after which the connection closes."""
    fields = {"Host": "bid.example", "Connection": "close", **(headers or {})}
    if body:
        fields["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Seen:
    """A request that reached the echo."""

    method: str
    path: str
    headers: Headers


@dataclass
class Echo:
    """The process behind the gateway: it notes what it sees. Paths that end in /wait are held until `release`."""

    seen: list[Seen] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)


class EchoHandler(RequestHandler):
    """Says yes to everything."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def initialize(self, echo: Echo) -> None:
        self.echo = echo

    async def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.items()}
        self.echo.seen.append(Seen(self.request.method or "", self.request.path, headers))
        if self.request.path.endswith("/wait"):
            await self.echo.release.wait()
        self.finish("echo")


@dataclass(frozen=True)
class Gateway:
    """A running Nginx with the echo behind both doors."""

    settings: Settings
    echo: Echo

    async def ask(self, method: str, path: str, headers: Headers | None = None, body: bytes = b"") -> Answer:
        """One request on a connection of its own, to the port that has no TLS."""
        return parse(await exchange(self.settings.gateway.http_port, request(method, path, headers, body)))


StartGateway = Callable[..., Awaitable[Gateway]]


def start_nginx(conf: Path) -> subprocess.Popen[bytes]:
    """Nginx in the foreground."""
    return subprocess.Popen([nginx_program(), "-e", "stderr", "-c", conf, "-g", "daemon off;"])


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """A command to its end, without stdin."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )


def nginx_program() -> Path:
    """Nginx, installed if it is missing."""
    return binaries.require(["nginx"], say)["nginx"]


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost, which `ca` has signed, and names an OCSP server where nobody listens."""

    certificate: Path
    key: Path
    ca: Path


def assert_secure(answer: Answer) -> None:
    assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "strict-transport-security" not in answer.headers, "a browser obeys it over TLS only"
    assert answer.headers["server"] == "nginx", "no version"
