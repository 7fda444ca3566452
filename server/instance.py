"""One instance of the whole system: bring it up, see whether it is healthy, restart parts of it, take it down.

Everything here may be called at any time, also while things are broken. Problems are `Failure`s: a sentence, and the
end of the log that should say why.
"""

import fcntl
import http.client
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import redis

from server import binaries, embedded, render
from server.control import Process, Supervisor
from server.errors import Failure
from server.settings import REPO, Settings

# A dozen processes start at once: on two cores with other work that has taken more than a minute.
READY_TIMEOUT_S = 180.0
# The sum of supervisord.conf's stopwaitsecs, in which a stuck system is killed part by part.
DOWN_TIMEOUT_S = 390.0
NOT_UP = "NeighborBid is not running. Start it with ./neighborbid up."

Say = Callable[[str], None]


def up(settings: Settings, say: Say) -> None:
    """Brings the system up, or what of it is down, and returns when every process is healthy.

    Raises Failure with the end of the culprit's log.
    """
    supervisor = Supervisor(settings)
    with _lock(settings, say):
        if supervisor.is_running():
            _refuse_other_settings(settings)
            if first_unready(settings, supervisor) is None:
                say(f"NeighborBid is already up: {settings.gateway.url}")
                return
        else:
            _start_supervisord(settings, say)
        _start_servers(settings, supervisor, say)
        _prepare_database(settings, say)
        say("Starting the processes")
        for process in supervisor.processes():
            supervisor.start(process.name)
        _wait_until_ready(settings, supervisor)
    say(f"NeighborBid is up:  {settings.gateway.url}")


def _start_supervisord(settings: Settings, say: Say) -> None:
    say("Checking PostgreSQL, Redis and Nginx")
    programs = ["nginx"]
    programs += ["postgres", "initdb"] if settings.postgres.embedded else []
    programs += ["redis-server"] if settings.redis.embedded else []
    paths = binaries.require(programs, say)
    if found := Supervisor(settings).stop_leftovers():
        say(f"Stopped {found} processes that a killed supervisord had left behind")
    _require_free_ports(settings)
    say("Writing the configuration")
    data = embedded.prepare_postgres(settings, paths["initdb"]) if settings.postgres.embedded else None
    redis_conf = embedded.prepare_redis(settings) if settings.redis.embedded else None
    render.nginx(settings, paths["nginx"])
    render.publish_web(settings)
    conf = render.supervisord(settings, paths, data, redis_conf)
    _fingerprint_path(settings).write_text(settings.summary())
    say("Starting supervisord")
    # It stays in the checkout: the relative commands of supervisord.conf start from there.
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(conf)],
        cwd=REPO,
        env=render.supervisord_environ(settings, paths),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if started.returncode != 0:
        raise Failure("supervisord did not start.", started.stdout)
    supervisor = Supervisor(settings)
    _wait(supervisor.is_running, "supervisord does not respond.", settings.log_dir / "supervisord.log")


def _start_servers(settings: Settings, supervisor: Supervisor, say: Say) -> None:
    """Starts the embedded servers, and returns when those and Redis elsewhere answer."""
    if settings.redis.embedded:
        supervisor.start("redis")
    if settings.postgres.embedded:
        supervisor.start("postgresql")
        say("Waiting for PostgreSQL")
        try:
            embedded.create_database(settings, READY_TIMEOUT_S)
        except Failure as failure:
            raise Failure(str(failure), _tail(settings.log_dir / "postgresql.log")) from failure
    _wait_for_redis(settings)


def _prepare_database(settings: Settings, say: Say) -> None:
    """Brings the schema, and the data that belong to it, up to date."""
    from server import shipped_data

    say("Migrating the database")
    migrate(settings)
    shipped_data.prepare(settings, say)


def _require_free_ports(settings: Settings) -> None:
    taken = [port for ports in settings.ports.values() for port in ports if not is_free(port)]
    if taken:
        numbers = ", ".join(map(str, taken))
        raise Failure(
            f"Port {numbers} is already in use. Stop the other program or set other ports (NEIGHBORBID_…_PORT)."
        )


def is_free(port: int) -> bool:
    """Whether a server could listen there on loopback."""
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _fingerprint_path(settings: Settings) -> Path:
    return settings.var / "run" / "settings"


def _refuse_other_settings(settings: Settings) -> None:
    path = _fingerprint_path(settings)
    if path.exists() and path.read_text() != settings.summary():
        raise Failure("NeighborBid is running with other settings. Run ./neighborbid down first.")


def _wait(condition: Callable[[], bool], sentence: str, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(sentence, _tail(log))
        time.sleep(0.1)


def _wait_for_redis(settings: Settings) -> None:
    client = redis.Redis.from_url(settings.redis.url, socket_timeout=5, socket_connect_timeout=5)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    with client:
        _wait(answers, "Redis does not accept connections.", settings.log_dir / "redis.log")


def migrate(settings: Settings) -> None:
    """Brings the schema up to date as its owner; does nothing when it is."""
    embedded.wait_for_postgres(settings.postgres.owner_url, READY_TIMEOUT_S)
    from store.migrations.run import upgrade

    upgrade(settings.postgres.owner_url)


def first_unready(settings: Settings, supervisor: Supervisor) -> tuple[str, Path] | None:
    """What is not healthy yet, as a sentence, and the log that should say why."""
    # What does not run first: it is why others are not ready.
    for process in sorted(supervisor.processes(), key=lambda process: process.state == "RUNNING"):
        if problem := _problem(process):
            return problem, Path(process.log)
    gateway = urlsplit(settings.gateway.url)
    assert gateway.hostname is not None
    assert gateway.port is not None
    tls = gateway.scheme == "https"
    for path, expected in (("/", range(200, 300)), ("/api/", range(200, 500)), ("/ws/", range(200, 500))):
        if _get(gateway.hostname, gateway.port, path, tls=tls) not in expected:
            return f"{path} cannot be reached through Nginx.", settings.log_dir / "nginx.log"
    workers = _celery_workers()
    for name in ("writer", "photos", "post", "worker"):
        if name not in workers:
            return f"{name} does not respond.", settings.log_dir / f"{name}.log"
    return None


def _problem(process: Process) -> str | None:
    """What can be said of one process alone."""
    if process.state != "RUNNING":
        return f"{process.name} is {process.state}."
    port = process.name.partition(":")[2]
    if process.group in ("rest", "realtime") and _get("127.0.0.1", int(port), "/readyz") != 200:
        return f"{process.name} is not ready."
    return None


def _get(host: str, port: int, path: str, tls: bool = False) -> int:
    """The status of a GET, or 0 when there is no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    if tls:
        context = ssl.create_default_context()
        # The certificate is for the public name, and we ask by address on our own machine.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, port, timeout=5, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _celery_workers() -> set[str]:
    """The names of the workers that answer on the broker."""
    from kombu.exceptions import OperationalError

    from server.worker import app

    try:
        replies = app.control.ping(timeout=1.0)
    except (OSError, OperationalError):
        return set()
    return {node.partition("@")[0] for reply in replies for node in reply}


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while (unready := first_unready(settings, supervisor)) is not None:
        if time.monotonic() > deadline:
            raise Failure(unready[0], _tail(unready[1]))
        time.sleep(0.2)


def _tail(log: Path, lines: int = 20) -> str:
    if not log.exists():
        return ""
    return "\n".join([f"--- {log}", *log.read_text(errors="replace").splitlines()[-lines:]])


def down(settings: Settings, say: Say) -> None:
    """Stops everything gracefully and waits for it."""
    supervisor = Supervisor(settings)
    with _lock(settings, say):
        if supervisor.is_running():
            say("Stopping every process")
            supervisor.shutdown(DOWN_TIMEOUT_S)
        elif not supervisor.stop_leftovers():
            say("NeighborBid is not running.")
            return
    say("NeighborBid is down.")


def _wait_for_process(supervisor: Supervisor, process: Process) -> None:
    def healthy() -> bool:
        return any(now.name == process.name and _problem(now) is None for now in supervisor.processes())

    _wait(healthy, f"{process.name} did not become healthy in time.", Path(process.log))


def restart(settings: Settings, name: str, say: Say) -> None:
    """Restarts one process at a time, each when the one before is healthy again, and waits until all of them are.

    A process that was broken before does not keep the others of its group from being restarted.
    """
    supervisor = Supervisor(settings)
    if not supervisor.is_running():
        raise Failure(NOT_UP)
    processes = supervisor.processes()
    matching = [process for process in processes if name in (process.name, process.group)]
    if not matching:
        known = ", ".join(dict.fromkeys(process.group for process in processes))
        raise Failure(f"There is no process {name}. Choose one of: {known}.")
    for process in matching:
        say(f"Restarting {process.name}")
        supervisor.stop(process.name)
        supervisor.start(process.name)
        _wait_for_process(supervisor, process)
    _wait_until_ready(settings, supervisor)


@contextmanager
def _lock(settings: Settings, say: Say) -> Iterator[None]:
    """One `up` or `down` of an instance at a time; a second one waits."""
    settings.var.mkdir(parents=True, exist_ok=True)
    with (settings.var / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another ./neighborbid to finish")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
