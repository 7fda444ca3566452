"""The rendered configuration is accepted by the very programs that read it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervisor.options import ServerOptions
from tornado.httpclient import AsyncHTTPClient

from handlers.http import problems
from market.errors import GeneralRefusal, Refusal
from server import render
from server.settings import Settings, load
from tests.support.gateway import nginx_program
from tests.support.ports import free_port
from tests.support.waiting import until


def nginx_accepts(conf: Path) -> None:
    done = subprocess.run(
        [nginx_program(), "-t", "-e", "stderr", "-c", conf], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_nginx_accepts_its_configuration(settings: Settings) -> None:
    nginx_accepts(render.nginx(settings, nginx_program()))


def test_upstreams_come_from_the_settings(home: Path, settings: Settings) -> None:
    elsewhere = load(
        {
            "NEIGHBORBID_HOME": str(home),
            "NEIGHBORBID_REST_HOSTS": "10.0.0.1:8101,10.0.0.2:8101",
            "NEIGHBORBID_HTTP_HOST": "[::1]",
            "NEIGHBORBID_LOG_LEVEL": "warning",
        }
    )
    conf = render.nginx(elsewhere, nginx_program())
    text = conf.read_text()
    assert "server 10.0.0.2:8101 " in text
    assert "server 127.0.0.1:8201 " in text
    assert "listen [::1]:8080 " in text
    assert "@@" not in text


@pytest.fixture
def gateway(home: Path, settings: Settings) -> Iterator[str]:
    """The address of a gateway with nothing behind it."""
    ports = {
        f"NEIGHBORBID_{name}_PORT": str(free_port())
        for name in ("HTTP", "REST", "REALTIME", "POSTGRES", "REDIS")
    }
    alone = load(
        {
            "NEIGHBORBID_HOME": str(home),
            "NEIGHBORBID_REST_PROCESSES": "1",
            "NEIGHBORBID_REALTIME_PROCESSES": "1",
            **ports,
        }
    )
    conf = render.nginx(alone, nginx_program())
    with subprocess.Popen([nginx_program(), "-e", "stderr", "-c", conf, "-g", "daemon off;"]) as process:
        yield alone.gateway.url
        process.terminate()


async def test_the_gateway_refuses_with_the_same_documents_as_the_rest_door(gateway: str) -> None:
    async def answer(path: str) -> dict[str, object] | None:
        try:
            response = await AsyncHTTPClient().fetch(gateway + path, raise_error=False)
        except OSError:
            return None
        assert response.headers["Content-Type"] == problems.CONTENT_TYPE
        document: dict[str, object] = json.loads(response.body)
        assert document["request_id"] == response.headers["X-Request-ID"]
        return document

    document = await until(lambda: answer("/api/v1/auctions?state=live"))
    expected = problems.document(
        Refusal(GeneralRefusal.UNAVAILABLE, str(document["detail"])),
        "/api/v1/auctions",
        str(document["request_id"]),
    )
    assert document == {**expected, "status": 502}
    # Whatever is sent, it is JSON.
    odd = await answer('/ws/%22"\\')
    assert odd is not None
    assert odd["instance"] == "/"


def test_supervisord_accepts_the_process_list(
    home: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {name: Path("/bin/true") for name in ("nginx", "postgres", "redis-server")}
    conf = render.supervisord(settings, programs, home, home / "redis.conf")
    for name, value in render.supervisord_environ(settings, programs).items():
        monkeypatch.setenv(name, value)
    options = ServerOptions()
    options.realize(["-c", str(conf)])
    processes = {
        group.name: [process.name for process in group.process_configs]
        for group in sorted(options.process_group_configs)
    }
    assert processes == {
        "postgresql": ["postgresql"],
        "redis": ["redis"],
        "writer": ["writer"],
        "photos": ["photos"],
        "post": ["post"],
        "worker": ["worker"],
        "nginx": ["nginx"],
        "rest": ["8101", "8102"],
        "realtime": ["8201", "8202"],
        "beat": ["beat"],
    }
    # Dictionaries keep their order: this is the starting order, and backwards the stopping order.
    assert list(processes) == [
        *("postgresql", "redis", "writer", "photos", "post", "worker", "nginx", "rest", "realtime", "beat"),
    ]


def test_only_embedded_servers_are_in_the_process_list(settings: Settings) -> None:
    programs = {"nginx": Path("/bin/true")}
    render.supervisord(
        settings, {**programs, "redis-server": Path("/bin/true")}, None, settings.var / "redis.conf"
    )
    render.supervisord(settings, programs, None, None)
    assert list((settings.var / "etc" / "supervisord").iterdir()) == []
