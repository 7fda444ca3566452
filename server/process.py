"""The life of a Tornado process: start, serve on loopback until SIGTERM or SIGINT, stop gracefully."""

import argparse
import asyncio
import gc
import re
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from weakref import WeakSet

import structlog
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from server import logs, metrics, settings
from server.health import Readiness

# Longer than the 60 s after which Nginx drops an idle connection itself, so that it never reuses one we just closed.
IDLE_CONNECTION_TIMEOUT_S = 75
BODY_TIMEOUT_S = 15
MAX_BODY_BYTES = 1024 * 1024
MAX_HEADER_BYTES = 32 * 1024
# Below supervisord's stopwaitsecs of 30.
DRAIN_TIMEOUT_S = 20.0
# So many new objects that may be part of circles before Python looks for these; by itself it does after 700.
GARBAGE_THRESHOLD = 20_000

REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")

log = structlog.get_logger(__name__)


class ServerApplication(Application):
    """Tornado's Application that gives every request an id for the logs and knows which requests still run."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.in_flight: WeakSet[HTTPServerRequest] = WeakSet()

    def find_handler(self, request: HTTPServerRequest, **kwargs: object):  # type: ignore[no-untyped-def]
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        # Handlers read it there: one name for the answer, the problem document and every line of the logs.
        request.headers["X-Request-ID"] = request_id
        # Each connection is a task with one request at a time; the handler's own task copies this context.
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        self.in_flight.add(request)
        return super().find_handler(request, **kwargs)

    def log_request(self, handler: RequestHandler) -> None:
        request = handler.request
        self.in_flight.discard(request)
        name, status, seconds = type(handler).__name__, handler.get_status(), request.request_time()
        metrics.HTTP_REQUESTS.labels(name, request.method, status).inc()
        metrics.HTTP_REQUEST_SECONDS.labels(name).observe(seconds)
        # request.path has no query string, which may carry a ticket.
        own_page = request.path in ("/healthz", "/readyz", "/metrics")
        level = "debug" if own_page else "error" if status >= 500 else "info"
        getattr(log, level)(
            "request",
            handler=name,
            method=request.method,
            path=request.path,
            status=status,
            duration_ms=round(seconds * 1000, 1),
        )


def collect_rarely() -> None:
    """Have Python look for garbage in circles less often, and never among what is there now: modules, routes and models
    stay, and looking through them all stops the process for longer than most requests take."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


async def serve(
    application: ServerApplication,
    port: int,
    readiness: Readiness,
    drain: Callable[[float], Awaitable[object]],
) -> None:
    """Listens until SIGTERM or SIGINT, then stops: /readyz says so, no new connections, `drain(seconds)`."""
    server = HTTPServer(
        application,
        xheaders=True,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=MAX_BODY_BYTES,
        max_buffer_size=2 * MAX_BODY_BYTES,
        idle_connection_timeout=IDLE_CONNECTION_TIMEOUT_S,
        body_timeout=BODY_TIMEOUT_S,
    )
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    collect_rarely()
    server.listen(port, "127.0.0.1")
    log.info("process_started", port=port)
    await stop.wait()
    log.info("process_stopping")
    readiness.stopping = True
    server.stop()
    # Kept-alive connections of the gateway end with the answer they are waiting for.
    server.conn_params.no_keep_alive = True
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S + 2):
            await drain(DRAIN_TIMEOUT_S)
            await server.close_all_connections()
    except TimeoutError:
        log.warning("drain_timed_out", in_flight=len(application.in_flight))


async def finish_requests(application: ServerApplication, timeout_s: float) -> None:
    """Returns when no request runs any more, or after the timeout."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    # The set empties itself, so there is no event to wait for.
    while application.in_flight and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def run(kind: str, main: Callable[[settings.Settings, int], Coroutine[object, object, None]]) -> None:
    """The body of `python -m server.<kind> --port N`. Exits with every problem listed when settings are bad."""
    parser = argparse.ArgumentParser(prog=f"python -m server.{kind}")
    parser.add_argument("--port", type=int, required=True)
    port: int = parser.parse_args().port
    loaded = settings.load_or_exit()
    logs.configure(f"{kind}-{port}", loaded.log_level)
    if sys.platform == "win32":
        asyncio.run(main(loaded, port))
    else:
        import uvloop

        uvloop.run(main(loaded, port))
