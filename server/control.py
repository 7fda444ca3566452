"""Talks to one instance's supervisord, over the Unix socket under HOME/var/run, and ends what a dead one left."""

import contextlib
import os
import signal
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, NamedTuple

from supervisor.xmlrpc import SupervisorTransport

from server.errors import Failure
from server.settings import Settings

ALREADY_STARTED = 60
NOT_RUNNING = 70
LEFTOVERS_TIMEOUT_S = 30.0
SERVERS = ("postgres", "redis-server")


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

    def _call(self, method: str, *arguments: object) -> Any:
        # A connection of its own for each call: the transport cannot be used again after an error.
        # xmlrpc.client insists on an HTTP address; the transport goes to the socket.
        transport = SupervisorTransport(None, None, self._url)
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def is_running(self) -> bool:
        try:
            self._call("getState")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def pid(self) -> int:
        return int(self._call("getPID"))

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
            for info in self._call("getAllProcessInfo")
        ]

    def start(self, name: str) -> None:
        """Returns once supervisord has tried. A process that already runs is left alone."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != ALREADY_STARTED:
                raise Failure(f"supervisord could not start {name}: {fault.faultString}.") from fault

    def stop(self, name: str) -> None:
        """Graceful; returns when the process has ended."""
        try:
            self._call("stopProcess", name, True)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != NOT_RUNNING:
                raise Failure(f"supervisord could not stop {name}: {fault.faultString}.") from fault

    def shutdown(self, timeout_s: float) -> None:
        """Stops every process gracefully, in reverse starting order, then supervisord itself; waits for all of it."""
        pid = self.pid()
        self._call("shutdown")
        deadline = time.monotonic() + timeout_s
        # The socket goes before the process does; a next start must not meet the old one. In a container without an
        # init, nobody may ever reap it.
        while self.is_running() or any(process.pid == pid for process in _running()):
            if time.monotonic() > deadline:
                raise Failure(f"supervisord is still running after {timeout_s:.0f} s.")
            time.sleep(0.1)

    def stop_leftovers(self) -> int:
        """Ends what still runs of a supervisord that was killed or lost its socket; returns how many it found.

        Gracefully, first what uses the servers and then the servers; what remains after LEFTOVERS_TIMEOUT_S is killed.
        """
        found = self._leftovers()
        # Their children are theirs to end.
        parents = [process for process in found if process.pid == process.group]
        batches = (
            # A supervisord that is still there would start again what is stopped behind its back.
            [process for process in parents if process.pid == process.session],
            [process for process in parents if process.name not in SERVERS],
            [process for process in parents if process.name in SERVERS],
        )
        for batch in batches:
            # Each program takes SIGINT as the wish that it stop soon and in order.
            _signal(batch, signal.SIGINT)
            _wait_for_end(batch, LEFTOVERS_TIMEOUT_S)
        running = _running()
        sessions = {process.session for process in set(found) & set(running)}
        survivors = [process for process in running if process.session in sessions]
        _signal(survivors, signal.SIGKILL)
        _wait_for_end(survivors, LEFTOVERS_TIMEOUT_S)
        return len(found)

    def _leftovers(self) -> list["_Running"]:
        """Every process of a session in which supervisord of this instance has started a program.

        Some servers overwrite their environment with their title, so one process that still has it speaks for the
        whole session. A session's number is not given again while one of its processes lives.
        """
        mark = f"SUPERVISOR_SERVER_URL={self._url}".encode()
        running = _running()
        ours = {process.session for process in running if mark in _environ(process.pid)}
        return [process for process in running if process.session in ours and _sees_our_files(process.pid)]


class _Running(NamedTuple):
    pid: int
    name: str
    group: int
    session: int


def _running() -> list[_Running]:
    running = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # pid (name) state ppid group session …; the name may hold blanks and brackets.
        name = stat[stat.index("(") + 1 : stat.rindex(")")]
        state, _parent, group, session = stat[stat.rindex(")") + 2 :].split()[:4]
        if state != "Z":
            running.append(_Running(int(entry.name), name, int(group), int(session)))
    return running


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _sees_our_files(pid: int) -> bool:
    """A container may run an instance under the same path, which is another one."""
    try:
        return Path(f"/proc/{pid}/root").samefile("/")
    except OSError:
        return False


def _signal(processes: list[_Running], signum: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signum)


def _wait_for_end(processes: list[_Running], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while set(processes) & set(_running()) and time.monotonic() < deadline:
        time.sleep(0.05)
