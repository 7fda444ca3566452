"""The commands of `./neighborbid`: up, down, status, logs, restart, check-config, migrate, load-regions, createadmin,
admin, demo, test."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import structlog

from server import settings
from server.control import Supervisor
from server.errors import Failure
from server.instance import NOT_UP, down, first_unready, migrate, restart, up
from server.settings import Settings


def say(line: str) -> None:
    """Shows one line of progress at once, also when the output is a pipe."""
    print(line, flush=True)


def main() -> int:
    """Runs one command and returns its exit status. A Failure becomes its sentence on stderr and status 1."""
    # Directories that unprivileged servers must enter are made on the way; secrets set their own modes.
    os.umask(0o022)
    try:
        return _run(sys.argv[1:])
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


def _run(words: list[str]) -> int:
    # The options of these two are not ours to parse.
    arguments = _parser().parse_args(words[:1] if words[:1] in (["test"], ["demo"]) else words)
    if arguments.command == "test":
        from server import testing

        return testing.main(words[1:], say)
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
            restart(loaded, arguments.name, say)
        case "migrate":
            migrate(loaded)
        case "createadmin":
            from server import operator_actions

            existed = operator_actions.create(loaded, arguments.email)
            account = "the existing account, with its password unchanged" if existed else "a new account"
            say(f"{arguments.email} is now an administrator: {account}.")
        case "admin":
            from server import operator_commands

            operator_commands.administer(loaded, arguments, say)
        case "load-regions":
            from server import shipped_data

            shipped_data.load_regions(loaded, arguments.file or shipped_data.REGIONS, say)
        case "check-config":
            check_config(loaded)
        case "demo":
            from server.demo import play

            return play.main(loaded, words[1:])
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
    commands.add_parser("migrate", help="migrate the database to the newest schema")
    regions = commands.add_parser("load-regions", help="load regions from a file into the database")
    regions.add_argument("file", nargs="?", type=Path, help="CSV; by default the shipped one")
    commands.add_parser("check-config", help="check the settings and show them without secrets")
    admin = commands.add_parser(
        "createadmin",
        help="make a user an administrator; asks for the password of a new account or reads stdin",
    )
    admin.add_argument("email", help="the e-mail address to log in with")
    _add_actions(
        commands.add_parser("admin", help="act as an administrator; the audit log records who, what and why")
    )
    commands.add_parser(
        "demo",
        help="let bots play three live auctions, or with --neighbourhood a trade, on the running system",
    )
    commands.add_parser(
        "test",
        help="run all tests, or those under the given paths, on a private instance; takes pytest's options, --fast"
        " (leave out gateway, system and faults) and --keep (leave the instance up)",
    )
    return parser


def _add_actions(parser: argparse.ArgumentParser) -> None:
    """The actions of `admin`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, what in {
        "warn": "warn a user",
        "suspend": "let a user browse, but not bid or sell, for some hours",
        "ban": "end a user's sessions and refuse new ones",
        "unban": "lift a ban",
        "revoke-sessions": "end a user's sessions",
        "role": "change a user's role",
    }.items():
        action = actions.add_parser(name, help=what)
        action.add_argument("user", help="e-mail address or id")
        if name == "suspend":
            action.add_argument("hours", type=int, help="how long; 0 ends a suspension")
        elif name == "role":
            action.add_argument("role", choices=["user", "moderator", "admin"])
        _add_reason(action)
    for name, what in {
        "hide": "hide an auction from everyone but its participants; it keeps running",
        "unhide": "show an auction again",
        "cancel": "cancel an auction despite its bids; every hold is released, and the reason is public",
    }.items():
        action = actions.add_parser(name, help=what)
        action.add_argument("auction", type=UUID, help="its id")
        _add_reason(action)
    extend = actions.add_parser("extend", help="extend every auction that an outage affected")
    extend.add_argument(
        "began_at",
        type=_time,
        help="when the outage began, such as 2026-05-31T23:05; UTC unless an offset is given",
    )
    extend.add_argument("ended_at", type=_time, help="when the outage ended")
    extend.add_argument("minutes", type=int, help="how much later auctions end, up to 1440")
    _add_reason(extend)
    extend.add_argument(
        "--action",
        dest="order",
        type=UUID,
        metavar="ID",
        help="continue this action, which extends no auction twice",
    )
    actions.add_parser("switches", help="show which functions are on")
    switch = actions.add_parser(
        "switch", help="switch a function of the platform on or off, everywhere at once"
    )
    switch.add_argument("name", help="a name that `switches` shows")
    switch.add_argument("position", choices=["on", "off"])
    _add_reason(switch)
    for name, what in {
        "reports": "show open reports of users, oldest first",
        "signals": "show open fraud signals, newest first",
        "dead-deliveries": "show notifications that could not be delivered, newest first",
        "audit": "show the audit log, newest first",
    }.items():
        action = actions.add_parser(name, help=what)
        if name == "audit":
            action.add_argument("about", nargs="?", help="only entries about this e-mail address, id or name")
        action.add_argument(
            "-n", dest="limit", type=int, default=20, help="how many at most (default 20, up to 100)"
        )


def _add_reason(action: argparse.ArgumentParser) -> None:
    action.add_argument("reason", help="why, for the audit log")


def _time(text: str) -> datetime:
    """ISO 8601; UTC unless it names another zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; write it like 2026-05-31T23:05") from error
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def status(settings: Settings) -> int:
    """Prints every process; 0 when all are healthy, 1 otherwise."""
    supervisor = Supervisor(settings)
    if not supervisor.is_running():
        say(NOT_UP)
        return 1
    for process in supervisor.processes():
        say(f"{process.name:<16} {process.state:<10} {process.description}")
    unready = first_unready(settings, supervisor)
    say(f"Healthy: {settings.gateway.url}" if unready is None else f"Not healthy: {unready[0]}")
    return 0 if unready is None else 1


def logs(settings: Settings, name: str, follow: bool) -> None:
    """Shows the end of the logs of a process, a group or all, also when nothing runs; does not return."""
    files = sorted(settings.log_dir.glob("*.log"))
    matching = [
        file for file in files if name.replace(":", "-") in ("", file.stem, file.stem.partition("-")[0])
    ]
    if not matching:
        raise Failure(
            f"There is no log of {name}." if files else f"There are no logs in {settings.log_dir} yet."
        )
    os.execvp("tail", ["tail", "-n", "50", *(["-F"] if follow else []), *map(str, matching)])


def check_config(settings: Settings) -> None:
    """Prints the settings without secrets. Bad settings never get here: every problem was listed instead."""
    say(settings.summary())
    say("The settings are valid.")


if __name__ == "__main__":
    # What a command shows may be read by another one: warnings go beside it.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    sys.exit(main())
