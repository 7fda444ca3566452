"""`./neighborbid test`: pytest against a fresh private instance, beside any that is running."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from types import FrameType

import pytest

from server import settings
from server.embedded import superuser_url
from server.errors import Failure
from server.instance import Say, down, is_free, up
from server.settings import REPO, Settings
from server.settings.reader import PREFIX

ALONE = ("tests/gateway", "tests/system", "tests/faults")
"""These watch, flood and kill the one instance, so nothing may run beside them."""

SIDE_BY_SIDE = ("-n", "auto", "--maxprocesses=6", "--dist=loadfile")
"""A process for each core, as far as Redis has databases for them: tests/conftest.py."""


def main(arguments: list[str], say: Say) -> int:
    """`./neighborbid test`: our own options, then pytest's. Returns the exit status."""
    ours = {"--keep", "--fast"}
    pytest_arguments = [argument for argument in arguments if argument not in ours]
    return run(pytest_arguments, keep="--keep" in arguments, fast="--fast" in arguments, say=say)


def run(pytest_arguments: list[str], *, keep: bool, fast: bool, say: Say) -> int:
    """Runs pytest against a fresh instance of its own and returns pytest's exit status. `fast` leaves out what watches,
    floods and kills that instance.

    The tests find the instance in the environment: DATABASE_URL, SUPERUSER_URL, REDIS_URL and NEIGHBORBID_*.
    URLs given by the caller are ignored: tests must never run against a database that somebody needs.
    """
    home = REPO / "var" / "test"
    base = _free_ports(count=7)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and name not in ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL")
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
            raise Failure("Another ./neighborbid test is already running in this checkout.") from error
        if home.exists():
            down(settings.load(os.environ), _quiet)
            shutil.rmtree(home)
        instance = settings.load(os.environ)
        shutil.rmtree(instance.state_dir, ignore_errors=True)
        try:
            up(instance, say)
            return _pytest(instance, pytest_arguments, fast)
        finally:
            if not keep:
                down(instance, _quiet)


def _pytest(instance: Settings, arguments: list[str], fast: bool) -> int:
    """All tests, in two runs, or only what the paths among the arguments name; options hold for each run."""
    if any(_is_path(argument) for argument in arguments):
        return _run(instance, arguments)
    beside = _run(instance, [*SIDE_BY_SIDE, *(f"--ignore={folder}" for folder in ALONE), *arguments])
    if fast:
        return beside
    statuses = {beside, _run(instance, [*ALONE, *arguments])}
    # Options such as -k may leave nothing to do for one of the two.
    return max(statuses - {pytest.ExitCode.NO_TESTS_COLLECTED}, default=pytest.ExitCode.NO_TESTS_COLLECTED)


def _is_path(argument: str) -> bool:
    """Whether pytest takes it for a file, a folder or a test in a file."""
    return not argument.startswith("-") and (REPO / argument.partition("::")[0]).exists()


def _run(instance: Settings, arguments: list[str]) -> int:
    # Without CELERY_BROKER_URL: Celery obeys it before its configuration, so tests could have no broker of their own.
    environ = {
        **os.environ,
        "DATABASE_URL": instance.postgres.url,
        "SUPERUSER_URL": superuser_url(instance),
        "REDIS_URL": instance.redis.url,
    }
    tests = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], cwd=REPO, env=environ)
    try:
        return tests.wait()
    except KeyboardInterrupt:
        # A terminal's Ctrl-C has reached pytest too; asking again is harmless and serves the other cases.
        tests.send_signal(signal.SIGINT)
        tests.wait()
        raise


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _quiet(_line: str) -> None:
    """The closing line of a test run is pytest's."""


def _free_ports(count: int) -> int:
    """The first of `count` consecutive free ports, below the range that the kernel gives to outgoing connections."""
    for base in range(20000, 32000, 10):
        if all(is_free(base + offset) for offset in range(count)):
            return base
    raise Failure("There are not enough free ports between 20000 and 32000 for the test instance.")
