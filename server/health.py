"""Each process's own pages, on its own port and never reachable through the gateway.

`/healthz`: the event loop turns. `/readyz`: what the process depends on answers, and it is not stopping.
`/metrics`: Prometheus.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.routing import URLSpec
from tornado.web import RequestHandler

CHECK_TIMEOUT_S = 2.0

Check = Callable[[], Awaitable[object]]


class Readiness:
    """What /readyz answers: each check's outcome, and `stopping` once the process was asked to stop."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self.stopping = False

    async def report(self) -> dict[str, str]:
        """'ok' or the reason for each check, which fails by raising or taking longer than CHECK_TIMEOUT_S, twice."""
        outcomes = await asyncio.gather(*map(_outcome, self._checks.values()))
        report = dict(zip(self._checks, outcomes, strict=True))
        if self.stopping:
            report["process"] = "stopping"
        return report


async def _outcome(check: Check) -> str:
    # The first question after a dependency's restart often meets a pooled connection that broke meanwhile.
    with contextlib.suppress(Exception):
        return await _ask(check)
    try:
        return await _ask(check)
    except Exception as error:
        # The type only: messages of database drivers may repeat the connection URL.
        return type(error).__name__


async def _ask(check: Check) -> str:
    async with asyncio.timeout(CHECK_TIMEOUT_S):
        await check()
    return "ok"


class HealthHandler(RequestHandler):
    """Always 200: an answer proves that the loop turns."""

    def get(self) -> None:
        self.finish("ok")


class ReadyHandler(RequestHandler):
    """200 with each check's outcome, 503 if one is not ok."""

    def initialize(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def get(self) -> None:
        report = await self._readiness.report()
        self.set_status(200 if all(outcome == "ok" for outcome in report.values()) else 503)
        self.set_header("Content-Type", "application/json")
        await self.finish(msgspec.json.encode(report))


class MetricsHandler(RequestHandler):
    """Every metric of this process as text for Prometheus."""

    def get(self) -> None:
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest())


def routes(readiness: Readiness) -> list[URLSpec]:
    """The pages that every process adds to its own."""
    return [
        URLSpec("/healthz", HealthHandler),
        URLSpec("/readyz", ReadyHandler, {"readiness": readiness}),
        URLSpec("/metrics", MetricsHandler),
    ]
