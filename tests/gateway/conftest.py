"""Gateways as `server.render` makes them, with an echo behind, and the running test instance."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from server import render
from server.settings import Settings, load
from tests.support.gateway import (
    Certificate,
    Echo,
    EchoHandler,
    Gateway,
    StartGateway,
    exchange,
    nginx_program,
    request,
    start_nginx,
)
from tests.support.ports import free_port
from tests.support.waiting import until


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
            conf = render.nginx(settings, nginx_program())
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


@pytest.fixture(scope="session")
def instance() -> Settings:
    """The settings of the whole system that `./neighborbid test` has started."""
    if "NEIGHBORBID_HOME" not in os.environ:
        pytest.fail("These tests need the running test instance: start them with `./neighborbid test`.")
    return load(os.environ)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Made new for each run: no key lies in the repository. With every extension that Python 3.13 asks for."""
    made = tmp_path_factory.mktemp("tls")
    leaf = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    leaf += ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", "keyUsage=critical,digitalSignature"]
    leaf += ["-addext", "authorityInfoAccess=OCSP;URI:http://127.0.0.1:1/"]
    leaf += ["-CA", str(made / "ca.pem"), "-CAkey", str(made / "ca.key")]
    ca = ["-subj", "/CN=Test", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    for name, options in (("ca", ca), ("leaf", leaf)):
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", str(made / f"{name}.key"), "-out", str(made / f"{name}.pem")]
        subprocess.run(
            ["openssl", "req", "-x509", "-days", "2", *new_key, *files, *options],
            check=True,
            capture_output=True,
        )
    return Certificate(made / "leaf.pem", made / "leaf.key", made / "ca.pem")
