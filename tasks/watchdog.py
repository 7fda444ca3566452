"""Ends a worker that has gone deaf, so that supervisord starts it again.

Beat sends to every queue each second. A worker that hears nothing for long has lost the broker without noticing,
as can happen when that is restarted or a connection dies without a word. Starting again is harmless at any time.
"""

import os
import threading
import time
from dataclasses import dataclass, field

import structlog
from celery.signals import task_received, worker_init

SILENCE_S = 180
"""Longer than a task may run: while all its processes are busy, a worker fetches nothing."""

log = structlog.get_logger()


@dataclass(slots=True)
class Watchdog:
    """Watches the worker that this process becomes, if it does."""

    silence_s: float = SILENCE_S
    _heard_at: float = field(default_factory=time.monotonic)

    def connect(self) -> None:
        """Start to watch as soon as a worker starts here."""
        worker_init.connect(self._start, weak=False, dispatch_uid="watchdog_start")
        task_received.connect(self._hear, weak=False, dispatch_uid="watchdog_hear")

    def _start(self, **_: object) -> None:
        self._heard_at = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _hear(self, **_: object) -> None:
        self._heard_at = time.monotonic()

    def _watch(self) -> None:
        while (left := self._heard_at + self.silence_s - time.monotonic()) > 0:
            time.sleep(left)
        log.critical("worker_deaf", silence_s=self.silence_s)
        # A worker that does not listen may not stop when asked to, either. Its processes end with their pipes.
        os._exit(1)
