"""The rendered configuration is accepted by the very programs that read it."""

import subprocess
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from server import binaries, render
from server.cli import say
from server.settings import Settings, load


def nginx_accepts(conf: Path) -> None:
    program = binaries.require(["nginx"], conf.parents[2] / "prefix", say)["nginx"]
    done = subprocess.run(
        [program, "-t", "-e", "stderr", "-c", conf], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


def test_nginx_accepts_its_configuration(settings: Settings) -> None:
    nginx_accepts(render.nginx(settings))


def test_upstreams_come_from_the_settings(home: Path, settings: Settings) -> None:
    elsewhere = load(
        {
            "NEIGHBORBID_HOME": str(home),
            "NEIGHBORBID_REST_HOSTS": "10.0.0.1:8101,10.0.0.2:8101",
            "NEIGHBORBID_HTTP_HOST": "[::1]",
            "NEIGHBORBID_LOG_LEVEL": "warning",
        }
    )
    conf = render.nginx(elsewhere)
    text = conf.read_text()
    assert "server 10.0.0.2:8101 " in text
    assert "server 127.0.0.1:8201 " in text
    assert "listen [::1]:8080 " in text
    assert "@@" not in text


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
        "worker": ["worker"],
        "nginx": ["nginx"],
        "rest": ["8101", "8102"],
        "realtime": ["8201", "8202"],
        "beat": ["beat"],
    }
    # Dictionaries keep their order: this is the starting order, and backwards the stopping order.
    assert list(processes) == ["postgresql", "redis", "writer", "worker", "nginx", "rest", "realtime", "beat"]


def test_only_embedded_servers_are_in_the_process_list(settings: Settings) -> None:
    programs = {"nginx": Path("/bin/true")}
    render.supervisord(
        settings, {**programs, "redis-server": Path("/bin/true")}, None, settings.var / "redis.conf"
    )
    render.supervisord(settings, programs, None, None)
    assert list((settings.var / "etc" / "supervisord").iterdir()) == []
