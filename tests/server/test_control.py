"""What a killed supervisord leaves behind is found and ended, and nothing else."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from server.control import Supervisor
from server.settings import Settings
from tests.support.waiting import until

CONF = """\
[unix_http_server]
file={run}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
logfile={run}/supervisord.log
pidfile={run}/supervisord.pid
[program:plain]
command=sleep 300
[program:stubborn]
; It forgets its environment, as servers do that show a title, and ignores the wish to stop.
command=env -i sh -c 'trap "" INT; while :; do sleep 1; done'
"""


def alive(pid: int) -> bool:
    """Whether it runs; a dead one may wait to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
async def supervisord(settings: Settings) -> AsyncIterator[int]:
    """The id of a running supervisord of this HOME, whose two programs run."""
    run = settings.var / "run"
    run.mkdir()
    conf = run / "supervisord.conf"
    conf.write_text(CONF.format(run=run))
    starting = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "supervisor.supervisord", "-c", conf
    )
    assert await starting.wait() == 0
    supervisor = Supervisor(settings)
    await until(
        lambda: (
            supervisor.is_running() and all(process.state == "RUNNING" for process in supervisor.processes())
        )
    )
    yield supervisor.pid()
    supervisor.stop_leftovers()


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A process of somebody who works in the same directory with the same settings."""
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        yield process
        process.kill()


def programs(supervisord: int) -> list[int]:
    """The processes that supervisord started. From /proc, because a bare machine has no ps."""
    return [
        int(child)
        for children in Path(f"/proc/{supervisord}/task").glob("*/children")
        for child in children.read_text().split()
    ]


async def test_leftovers_of_a_killed_supervisord_are_ended(
    settings: Settings, supervisord: int, bystander: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.control.LEFTOVERS_TIMEOUT_S", 1.0)
    left = programs(supervisord)
    assert len(left) == 2
    os.kill(supervisord, signal.SIGKILL)
    await until(lambda: not alive(supervisord))
    assert all(map(alive, left))

    assert Supervisor(settings).stop_leftovers() >= 2

    assert not any(map(alive, left))
    assert bystander.poll() is None
    assert Supervisor(settings).stop_leftovers() == 0


async def test_a_supervisord_without_its_socket_is_stopped_itself(
    settings: Settings, supervisord: int
) -> None:
    left = programs(supervisord)
    (settings.var / "run" / "supervisor.sock").unlink()

    assert Supervisor(settings).stop_leftovers() >= 3

    assert not any(map(alive, [supervisord, *left]))
