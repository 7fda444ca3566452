"""Processes die without warning while the demo is being played; no acknowledged bid may be missing."""

import asyncio
import io
import os
import signal

from rich.console import Console

from server import demo
from server.settings import REPO, Settings
from tests.system.conftest import System
from tests.waiting import until

SECONDS = 30
BIDDERS = 12


async def pid(settings: Settings, name: str) -> int:
    """The process id of a program as supervisorctl tells it; 0 while it does not run."""
    process = await asyncio.create_subprocess_exec(
        REPO / ".venv/bin/supervisorctl",
        "-c",
        settings.home / "supervisord.conf",
        "pid",
        name,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return int(output) if output.strip().isdigit() else 0


async def test_the_demo_survives_kills_of_realtime_workers_and_redis(system: System) -> None:
    output = io.StringIO()
    console = Console(file=output, width=150)
    playing = asyncio.create_task(
        demo.play(system.settings, bidders=BIDDERS, seconds=SECONDS, console=console)
    )
    await until(lambda: "register" in output.getvalue())

    first, second = (f"realtime:{port}" for port in system.settings.realtime_ports)
    for name in (first, "writer", "worker", "redis", second):
        victim = await pid(system.settings, name)
        assert victim
        os.kill(victim, signal.SIGKILL)

        async def back(name: str = name, victim: int = victim) -> bool:
            return await pid(system.settings, name) not in (0, victim)

        await until(back)

    assert await playing, output.getvalue()
