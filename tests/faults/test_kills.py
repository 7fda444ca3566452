"""Processes die without warning while the demo is being played; no acknowledged bid may be missing."""

import asyncio
import io
import os
import signal

from rich.console import Console
from sqlalchemy import func, select

from server.demo import live
from server.settings import REPO, Settings
from store.database import SyncDatabase
from store.models import Bid
from tests.support.system import System
from tests.support.waiting import until

SECONDS = 60
BIDDERS = 12
BIDS_BETWEEN_KILLS = 3


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


def bids_written(database: SyncDatabase) -> int:
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(Bid)) or 0


async def test_the_demo_survives_kills_of_realtime_workers_and_redis(system: System) -> None:
    output = io.StringIO()
    console = Console(file=output, width=150)
    written = bids_written(system.database)
    playing = asyncio.create_task(
        live.play(system.settings, bidders=BIDDERS, seconds=SECONDS, console=console)
    )
    first, second = (f"realtime:{port}" for port in system.settings.realtime.ports)

    for name in (first, "writer", "redis", "worker", second):
        # Bids must flow all the way to PostgreSQL at first, and again after each kill.
        def flowing(enough: int = written + BIDS_BETWEEN_KILLS) -> bool:
            return bids_written(system.database) >= enough

        await until(flowing)
        written = bids_written(system.database)
        victim = await pid(system.settings, name)
        os.kill(victim, signal.SIGKILL)

        async def back(name: str = name, victim: int = victim) -> bool:
            return await pid(system.settings, name) not in (0, victim)

        await until(back)

    assert not playing.done(), "every kill hit the running demo"
    assert await playing, output.getvalue()
