"""The WebSocket handler of `/ws/live`: decode, dispatch, and answer whatever goes wrong."""

import socket
from collections.abc import Awaitable
from typing import Any

import structlog
from tornado.iostream import IOStream
from tornado.websocket import WebSocketHandler

from realtime.dispatch import Live, dispatch
from realtime.metrics import ERRORS, MESSAGES
from realtime.protocol import (
    BadRequest,
    CloseCode,
    Error,
    ErrorCode,
    Request,
    decode_request,
    name_of,
    ref_of,
)
from realtime.viewer import Viewer

log = structlog.get_logger()


class LiveSocket(WebSocketHandler):
    """One client."""

    def initialize(self, live: Live) -> None:
        """Tornado passes what the route was made with."""
        self._live = live
        self._viewer: Viewer | None = None

    def check_origin(self, origin: str) -> bool:
        """Tornado asks about foreign origins only: none, or that of the request's own host, is always let in."""
        return origin in self._live.allowed_origins

    @property
    def ping_interval(self) -> float:
        """Seconds between pings; a half-open socket is found within two of them."""
        return self._live.limits.ping_s

    @property
    def ping_timeout(self) -> float:
        """Seconds to wait for a pong."""
        return self._live.limits.ping_s

    @property
    def max_message_size(self) -> int:
        """A longer message closes the socket with 1009."""
        return self._live.limits.message_bytes

    def open(self, *args: str, **kwargs: str) -> None:
        """The handshake is done."""
        assert self.ws_connection is not None
        stream = self.ws_connection.stream
        assert isinstance(stream, IOStream)
        stream.set_nodelay(True)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._live.limits.kernel_send_bytes)
        hub = self._live.hub
        self._viewer = Viewer(stream, self.close, self._live.limits, hub.caught_up)
        hub.enter(self._viewer)
        if self._live.draining:
            self._viewer.close(CloseCode.RESTART, "drain")

    def on_close(self) -> None:
        """The socket is gone."""
        if self._viewer is not None:
            self._live.hub.exit(self._viewer)

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Handle one message; Tornado reads the next one when the answer is no coroutine, or done."""
        assert self._viewer is not None
        if retry_after_ms := self._viewer.wait_ms():
            detail = "You are sending too many messages. Wait a moment and try again."
            self._refuse(
                Error(
                    ref=ref_of(message),
                    code=ErrorCode.RATE_LIMITED,
                    detail=detail,
                    retry_after_ms=retry_after_ms,
                )
            )
            return None
        if isinstance(message, bytes):
            self._refuse(Error(code=ErrorCode.MALFORMED, detail="Send text frames only."))
            return None
        try:
            request = decode_request(message)
        except BadRequest as bad:
            self._refuse(bad.error)
            return None
        MESSAGES.labels(name_of(type(request))).inc()
        if not self._live.clock.known:
            self._refuse(
                Error(
                    ref=request.ref,
                    code=ErrorCode.UNAVAILABLE,
                    detail="We are still starting. Try again in a moment.",
                )
            )
            return None
        try:
            pending = dispatch(self._live, self._viewer, request)
        except Exception as failure:
            self._fail(request, failure)
            return None
        return None if pending is None else self._finish_request(request, pending)

    async def _finish_request(self, request: Request, pending: Awaitable[None]) -> None:
        try:
            await pending
        except Exception as failure:
            self._fail(request, failure)

    def _fail(self, request: Request, failure: Exception) -> None:
        log.error("request_failed", type=type(request).__name__, exc_info=failure)
        self._refuse(
            Error(
                ref=request.ref,
                code=ErrorCode.INTERNAL_ERROR,
                detail="Something went wrong on our side. Try again.",
            )
        )

    def _refuse(self, error: Error) -> None:
        ERRORS.labels(error.code).inc()
        assert self._viewer is not None
        self._viewer.send(error)

    def log_exception(self, *exc_info: Any) -> None:
        """Whatever else goes wrong with this socket; Tornado closes it."""
        log.error("socket_failed", exc_info=exc_info)
