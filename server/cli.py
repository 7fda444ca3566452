"""The commands of `./neighborbid`: up, down, status, logs, restart, check-config, migrate, demo, test."""

import argparse
import fcntl
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import FrameType

import redis

from server import binaries, embedded, render, settings
from server.control import Process, Supervisor
from server.errors import Failure
from server.settings import REPO, Settings

READY_TIMEOUT_S = 60.0
# The sum of supervisord.conf's stopwaitsecs, in which a stuck system is killed part by part.
DOWN_TIMEOUT_S = 330.0
NOT_UP = "NeighborBid is not running. Start it with ./neighborbid up."

Say = Callable[[str], None]


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Runs one command and returns its exit status. A Failure becomes its sentence on stderr and status 1."""
    # Directories that unprivileged servers must enter are made on the way; secrets set their own modes.
    os.umask(0o022)
    command, rest = sys.argv[1:2], sys.argv[2:]
    # The options of these two are not ours to parse.
    arguments = _parser().parse_args(command if command in (["test"], ["demo"]) else None)
    try:
        if arguments.command == "test":
            return test([argument for argument in rest if argument != "--keep"], keep="--keep" in rest)
        loaded = settings.load_or_exit()
        match arguments.command:
            case "up":
                up(loaded, say)
                say(f"Logs:               {loaded.log_dir}")
                say("Try next:           ./neighborbid demo")
            case "down":
                down(loaded, say)
            case "status":
                return status(loaded)
            case "logs":
                logs(loaded, arguments.name, arguments.follow)
            case "restart":
                restart(loaded, arguments.name)
            case "migrate":
                migrate(loaded)
            case "check-config":
                check_config(loaded)
            case "demo":
                from server import demo

                return demo.main(loaded, rest)
    except Failure as failure:
        if failure.evidence:
            print(failure.evidence.rstrip(), file=sys.stderr)
        print(f"neighborbid: {failure}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"neighborbid: {error}. Run it as the user who started NeighborBid.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./neighborbid", description="NeighborBid, an auction platform.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="start everything and wait until it is healthy")
    commands.add_parser("down", help="stop everything gracefully")
    commands.add_parser("status", help="show every process")
    log = commands.add_parser("logs", help="show the latest lines of the logs")
    log.add_argument("name", nargs="?", default="", help="a process or group, such as rest or rest:8101")
    log.add_argument("-f", "--follow", action="store_true", help="keep showing new lines")
    one = commands.add_parser("restart", help="restart a process, or a group one process at a time")
    one.add_argument("name", help="such as realtime or rest:8101")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    commands.add_parser("check-config", help="check the settings and show them without secrets")
    commands.add_parser("demo", help="run three live auctions with bots against the running system")
    commands.add_parser(
        "test", help="run pytest on an instance of its own (--keep leaves it up), with pytest's options"
    )
    return parser


def up(settings: Settings, say: Say) -> None:
    """Brings the system up, or what of it is down, and returns when every process is healthy.

    Raises Failure with the end of the culprit's log.
    """
    supervisor = Supervisor(settings)
    with _lock(settings, say):
        if supervisor.is_running():
            _refuse_other_settings(settings)
            if _ready(settings, supervisor):
                say(f"NeighborBid was up: {settings.url}")
                return
        else:
            _start_supervisord(settings, say)
        if settings.embedded_redis:
            supervisor.start("redis")
        if settings.embedded_postgres:
            supervisor.start("postgresql")
            say("Waiting for PostgreSQL")
            try:
                embedded.create_database(settings, READY_TIMEOUT_S)
            except Failure as failure:
                raise Failure(str(failure), _tail(settings.log_dir / "postgresql.log")) from failure
        _wait_for_redis(settings)
        say("Migrating the database")
        migrate(settings)
        say("Starting the processes")
        for process in supervisor.processes():
            supervisor.start(process.name)
        _wait_until_ready(settings, supervisor)
    say(f"NeighborBid is up:  {settings.url}")


def _start_supervisord(settings: Settings, say: Say) -> None:
    say("Checking PostgreSQL, Redis and Nginx")
    programs = ["nginx"]
    programs += ["postgres", "initdb"] if settings.embedded_postgres else []
    programs += ["redis-server"] if settings.embedded_redis else []
    paths = binaries.require(programs, say)
    if found := Supervisor(settings).stop_leftovers():
        say(f"Ended {found} processes that a killed supervisord had left")
    _require_free_ports(settings)
    say("Writing the configuration")
    data = embedded.prepare_postgres(settings, paths["initdb"]) if settings.embedded_postgres else None
    redis_conf = embedded.prepare_redis(settings) if settings.embedded_redis else None
    render.nginx(settings)
    render.publish_web(settings)
    conf = render.supervisord(settings, paths, data, redis_conf)
    _fingerprint_path(settings).write_text(_fingerprint(settings))
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
    _wait(supervisor.is_running, "supervisord does not answer.", settings.log_dir / "supervisord.log")


def _require_free_ports(settings: Settings) -> None:
    ports = [*settings.rest_ports, *settings.realtime_ports]
    ports += [settings.postgres_port] if settings.embedded_postgres else []
    ports += [settings.redis_port] if settings.embedded_redis else []
    taken = [port for port in [settings.http_port, *ports] if not _is_free(port)]
    if taken:
        numbers = ", ".join(map(str, taken))
        raise Failure(f"Another program uses port {numbers}; stop it or choose others (NEIGHBORBID_…_PORT).")


def _is_free(port: int) -> bool:
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


def _fingerprint(settings: Settings) -> str:
    return "\n".join(_summary(settings))


def _refuse_other_settings(settings: Settings) -> None:
    path = _fingerprint_path(settings)
    if path.exists() and path.read_text() != _fingerprint(settings):
        raise Failure("NeighborBid runs with other settings; ./neighborbid down first.")


def _wait(condition: Callable[[], bool], sentence: str, log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(sentence, _tail(log))
        time.sleep(0.1)


def _wait_for_redis(settings: Settings) -> None:
    client = redis.Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=5)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    with client:
        _wait(answers, "Redis does not accept connections.", settings.log_dir / "redis.log")


def migrate(settings: Settings) -> None:
    """Brings the schema up to date as its owner; does nothing when it is."""
    embedded.wait_for_postgres(settings.owner_database_url, READY_TIMEOUT_S)
    from store.migrations.run import upgrade

    upgrade(settings.owner_database_url)


def _ready(settings: Settings, supervisor: Supervisor) -> bool:
    return _first_unready(settings, supervisor) is None


def _first_unready(settings: Settings, supervisor: Supervisor) -> tuple[str, Path] | None:
    """What is not healthy yet, as a sentence, and the log that should say why."""
    # What does not run first: it is why others are not ready.
    for process in sorted(supervisor.processes(), key=lambda process: process.state == "RUNNING"):
        if problem := _problem(process):
            return problem, Path(process.log)
    host, _, port = settings.url.removeprefix("http://").rpartition(":")
    for path, expected in (("/", range(200, 300)), ("/api/", range(200, 500)), ("/ws/", range(200, 500))):
        if _get(host, int(port), path) not in expected:
            return f"{path} cannot be reached through Nginx.", settings.log_dir / "nginx.log"
    workers = _celery_workers()
    for name in ("writer", "worker"):
        if name not in workers:
            return f"{name} does not answer.", settings.log_dir / f"{name}.log"
    return None


def _problem(process: Process) -> str | None:
    """What can be said of one process alone."""
    if process.state != "RUNNING":
        return f"{process.name} is {process.state}."
    port = process.name.partition(":")[2]
    if process.group in ("rest", "realtime") and _get("127.0.0.1", int(port), "/readyz") != 200:
        return f"{process.name} is not ready."
    return None


def _get(host: str, port: int, path: str) -> int:
    """The status of a GET, or 0 when there is no answer."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
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
    while (unready := _first_unready(settings, supervisor)) is not None:
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
            pid = supervisor.pid()
            supervisor.shutdown(DOWN_TIMEOUT_S)
            # The socket goes before the process does; a next `up` must not meet the old one.
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.05)
        elif not supervisor.stop_leftovers():
            say("NeighborBid is not running.")
            return
    say("NeighborBid is down.")


def status(settings: Settings) -> int:
    """Prints every process; 0 when all are healthy, 1 otherwise."""
    supervisor = Supervisor(settings)
    if not supervisor.is_running():
        say(NOT_UP)
        return 1
    for process in supervisor.processes():
        say(f"{process.name:<16} {process.state:<10} {process.description}")
    unready = _first_unready(settings, supervisor)
    say(f"Healthy: {settings.url}" if unready is None else f"Not healthy: {unready[0]}")
    return 0 if unready is None else 1


def logs(settings: Settings, name: str, follow: bool) -> None:
    """Shows the end of the logs of a process, a group or all, also when nothing runs; does not return."""
    files = sorted(settings.log_dir.glob("*.log"))
    matching = [
        file for file in files if name.replace(":", "-") in ("", file.stem, file.stem.partition("-")[0])
    ]
    if not matching:
        raise Failure(f"There is no log of {name}." if files else f"There are no logs in {settings.log_dir}.")
    os.execvp("tail", ["tail", "-n", "50", *(["-F"] if follow else []), *map(str, matching)])


def _wait_for_process(supervisor: Supervisor, process: Process) -> None:
    def healthy() -> bool:
        return any(now.name == process.name and _problem(now) is None for now in supervisor.processes())

    _wait(healthy, f"{process.name} does not become healthy.", Path(process.log))


def restart(settings: Settings, name: str) -> None:
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
        raise Failure(f"There is no process {name}. There are: {known}.")
    for process in matching:
        say(f"Restarting {process.name}")
        supervisor.stop(process.name)
        supervisor.start(process.name)
        _wait_for_process(supervisor, process)
    _wait_until_ready(settings, supervisor)


def check_config(settings: Settings) -> None:
    """Prints the settings without secrets. Bad settings never come here: every problem was listed instead."""
    for line in _summary(settings):
        say(line)
    say("The settings are valid.")


def _summary(settings: Settings) -> Iterable[str]:
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name.endswith("_url"):
            # Passwords may stand before the host or, in PostgreSQL's URLs, among the parameters.
            value = value.partition("?")[0]
            scheme, _, rest = value.partition("://")
            value = f"{scheme}://{rest.rpartition('@')[2]}"
        elif isinstance(value, tuple):
            value = ", ".join(value)
        yield f"{field.name:<20} {value}"


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


def test(pytest_arguments: list[str], keep: bool) -> int:
    """Runs pytest against a fresh instance of its own and returns pytest's exit status.

    The tests find the instance in the environment: DATABASE_URL, REDIS_URL and NEIGHBORBID_*.
    URLs given by the caller are ignored: tests must never run against a database that somebody needs.
    """
    home = REPO / "var" / "test"
    base = _free_ports(count=7)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(settings.PREFIX)
        and name not in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
    }
    environ |= {
        "NEIGHBORBID_HOME": str(home),
        "NEIGHBORBID_HTTP_PORT": str(base),
        "NEIGHBORBID_REST_PORT": str(base + 1),
        "NEIGHBORBID_REALTIME_PORT": str(base + 3),
        "NEIGHBORBID_POSTGRES_PORT": str(base + 5),
        "NEIGHBORBID_REDIS_PORT": str(base + 6),
        "NEIGHBORBID_POSTGRES_FSYNC": "off",
    }
    os.environ.clear()
    os.environ.update(environ)

    # A termination takes the instance down like Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    home.parent.mkdir(exist_ok=True)
    with (home.parent / "test.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure("Another ./neighborbid test runs in this checkout.") from error
        if home.exists():
            down(settings.load(os.environ), _quiet)
            shutil.rmtree(home)
        instance = settings.load(os.environ)
        shutil.rmtree(instance.state_dir, ignore_errors=True)
        try:
            up(instance, say)
            return _pytest(instance, pytest_arguments)
        finally:
            if not keep:
                down(instance, _quiet)


def _pytest(instance: Settings, arguments: list[str]) -> int:
    # Without CELERY_BROKER_URL: Celery obeys it before its configuration, so tests could have no broker of their own.
    environ = {**os.environ, "DATABASE_URL": instance.database_url, "REDIS_URL": instance.redis_url}
    run = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=REPO, env=environ)
    try:
        return run.wait()
    except KeyboardInterrupt:
        # A terminal's Ctrl-C has reached pytest too; asking again is harmless and serves the other cases.
        run.send_signal(signal.SIGINT)
        run.wait()
        raise


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _quiet(_line: str) -> None:
    """The closing line of a test run is pytest's."""


def _free_ports(count: int) -> int:
    """The first of `count` consecutive free ports, below the range that the kernel gives to outgoing connections."""
    for base in range(20000, 32000, 10):
        if all(_is_free(base + offset) for offset in range(count)):
            return base
    raise Failure("No free ports between 20000 and 32000 for the test instance.")


if __name__ == "__main__":
    sys.exit(main())
