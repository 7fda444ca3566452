"""Talks to one instance's supervisord, over the Unix socket under HOME/var/run."""

import time
import xmlrpc.client
from typing import Any, NamedTuple

from supervisor.xmlrpc import SupervisorTransport

from server.errors import Failure
from server.settings import Settings

ALREADY_STARTED = 60
NOT_RUNNING = 70


class Process(NamedTuple):
    """One line of `supervisorctl status`. `name` is `group:process`, or just the program's name when it runs once."""

    name: str
    group: str
    state: str
    description: str
    log: str


class Supervisor:
    """supervisord's XML-RPC, as far as the command line needs it."""

    def __init__(self, settings: Settings) -> None:
        self._url = f"unix://{settings.var / 'run' / 'supervisor.sock'}"

    @property
    def _rpc(self) -> Any:
        # A connection of its own for each call: the transport cannot be used again after an error.
        # xmlrpc.client insists on an HTTP address; the transport goes to the socket.
        transport = SupervisorTransport(None, None, self._url)
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def is_running(self) -> bool:
        try:
            self._rpc.getState()
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def pid(self) -> int:
        return int(self._rpc.getPID())

    def processes(self) -> list[Process]:
        """Every process, in alphabetical order."""
        return [
            Process(
                name=info["name"] if info["name"] == info["group"] else f"{info['group']}:{info['name']}",
                group=info["group"],
                state=info["statename"],
                description=info["description"],
                log=info["stdout_logfile"],
            )
            for info in self._rpc.getAllProcessInfo()
        ]

    def start(self, name: str) -> None:
        """Returns once supervisord has tried. A process that already runs is left alone."""
        try:
            self._rpc.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise Failure(f"supervisord could not start {name}: {fault.faultString}.") from fault

    def stop(self, name: str) -> None:
        """Graceful; returns when the process has ended."""
        try:
            self._rpc.stopProcess(name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise Failure(f"supervisord could not stop {name}: {fault.faultString}.") from fault

    def shutdown(self, timeout_s: float) -> None:
        """Stops every process gracefully, in reverse starting order, then supervisord itself; waits for all of it."""
        self._rpc.shutdown()
        deadline = time.monotonic() + timeout_s
        while self.is_running():
            if time.monotonic() > deadline:
                raise Failure(f"supervisord still runs after {timeout_s:.0f} s.")
            time.sleep(0.1)
