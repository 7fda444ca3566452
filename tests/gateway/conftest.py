"""Gateways as `server.render` makes them, with an echo behind, and the running test instance."""

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from server import binaries, render
from server.cli import say
from server.settings import Settings, load
from tests.server.test_process import free_port
from tests.support.waiting import until

READ_TIMEOUT_S = 20

Headers = dict[str, str]


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


@pytest.fixture
async def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartGateway]:
    """Starts a gateway with these settings, given without NEIGHBORBID_; `behind=False`: with nothing behind it."""
    echo = Echo()
    (listening,) = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(Application([(".*", EchoHandler, {"echo": echo})]))
    server.add_sockets([listening])
    with ExitStack() as stack:

        async def start(behind: bool = True, **environ: str) -> Gateway:
            home = tmp_path_factory.mktemp("gateway")
            upstream = f"127.0.0.1:{listening.getsockname()[1] if behind else free_port()}"
            names = {
                "HOME": str(home),
                "HTTP_PORT": str(free_port()),
                "HTTPS_PORT": str(free_port()),
                "REST_HOSTS": upstream,
                "REALTIME_HOSTS": upstream,
                "TOKEN_KEYS": f"test:{'A' * 43}",
                "SMTP_URL": "smtp://localhost",
                "MAIL_FROM": "noreply@bid.example",
                "PUBLIC_URL": "https://bid.example",
                "SECRET_KEYS": f"test:{'A' * 43}",
                "HANDOVER_KEYS": f"test:{'A' * 43}",
                "PUSH_KEY": f"{'A' * 42}E",
                "UNSUBSCRIBE_KEY": "A" * 43,
                "TRACE_KEY": "A" * 43,
                **environ,
            }
            settings = load({f"NEIGHBORBID_{name}": value for name, value in names.items()})
            conf = render.nginx(settings)
            stack.callback(shutil.rmtree, settings.state_dir, ignore_errors=True)
            render.publish_web(settings)
            process = stack.enter_context(start_nginx(conf))
            stack.callback(process.terminate)
            gateway = Gateway(settings, echo)

            async def answers() -> bool:
                assert process.poll() is None, "Nginx did not start"
                try:
                    return bool(await exchange(settings.gateway.http_port, request("GET", "/")))
                except ConnectionRefusedError:
                    return False

            await until(answers)
            return gateway

        yield start
        echo.release.set()
    server.stop()
    await server.close_all_connections()


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


@pytest.fixture(scope="session")
def instance() -> Settings:
    """The settings of the whole system that `./neighborbid test` has started."""
    if "NEIGHBORBID_HOME" not in os.environ:
        pytest.fail("These tests need the running test instance: start them with `./neighborbid test`.")
    return load(os.environ)


@dataclass(frozen=True)
class Certificate:
    """A certificate for localhost, which `ca` has signed, and names an OCSP server where nobody listens."""

    certificate: Path
    key: Path
    ca: Path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Made new for each run: no key lies in the repository."""
    made = tmp_path_factory.mktemp("tls")
    leaf = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    leaf += ["-addext", "authorityInfoAccess=OCSP;URI:http://127.0.0.1:1/"]
    leaf += ["-CA", str(made / "ca.pem"), "-CAkey", str(made / "ca.key")]
    for name, options in (("ca", ["-subj", "/CN=Test"]), ("leaf", leaf)):
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", str(made / f"{name}.key"), "-out", str(made / f"{name}.pem")]
        subprocess.run(
            ["openssl", "req", "-x509", "-days", "2", *new_key, *files, *options],
            check=True,
            capture_output=True,
        )
    return Certificate(made / "leaf.pem", made / "leaf.key", made / "ca.pem")
