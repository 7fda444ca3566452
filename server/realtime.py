"""One realtime process: `python -m server.realtime --port N`."""

import asyncio
import socket

from realtime.service import Realtime
from server import health, process
from server.settings import Settings


class NotReady(Exception):
    """Redis is away, or the socket door is draining."""


async def main(settings: Settings, port: int) -> None:
    """Serves the live sockets on loopback until told to stop; Redis need not be there yet."""
    realtime = Realtime(
        settings.redis.url,
        allowed_origins=frozenset(settings.gateway.allowed_origins),
        process_name=f"{socket.gethostname()}:{port}",
    )

    async def ask_realtime() -> None:
        status = realtime.status()
        if not status["ready"]:
            raise NotReady(status)

    readiness = health.Readiness({"realtime": ask_realtime})
    application = process.ServerApplication([*realtime.routes(), *health.routes(readiness)])
    # It listens before Redis answers, so that /healthz and /readyz tell the two apart. If starting fails, all ends.
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(realtime.start())

        async def drain(timeout_s: float) -> None:
            starting.cancel()
            await realtime.drain(timeout_s)

        await process.serve(application, port, readiness, drain)


if __name__ == "__main__":
    process.run("realtime", main)
