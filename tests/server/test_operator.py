"""`./neighborbid createadmin` and `admin`."""

import io
import os
import pwd
import re

import msgspec
import pytest
import redis
from argon2 import PasswordHasher

from market.accounts import accounts
from market.errors import Refusal
from server import operator_actions
from server.errors import Failure
from server.settings import REPO, Settings
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Role
from store.redis.clients import SyncHot
from store.redis.pushes import channel_of
from tests.support.effects import unclosed
from tests.support.factories import NO_PASSWORD, make_user
from tests.support.operator import WHY, Night
from tests.support.settings import at

PASSWORD = "correct horse"
OPERATIONS = (REPO / "docs" / "operations.md").read_text()


def create(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> bool:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return operator_actions.create(at(settings, database=database_url), email)


def test_an_admin_is_made_with_the_password_from_stdin(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{new_id()}@example.org"
    assert not create(settings, database_url, monkeypatch, email, PASSWORD)

    with sync_database.transaction() as session:
        user_id, password_hash = accounts.login_data(session, email) or (new_id(), "")
        assert accounts.profile(session, user_id).role is Role.ADMIN
    assert PasswordHasher().verify(password_hash, PASSWORD)


def test_an_account_that_is_there_becomes_an_admins_and_keeps_its_password(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sync_database.transaction() as session:
        user_id = make_user(session)
        email = accounts.profile(session, user_id).email
    for _ in range(2):
        assert create(settings, database_url, monkeypatch, email.upper(), password="")
    with sync_database.transaction() as session:
        assert accounts.profile(session, user_id).role is Role.ADMIN
        assert accounts.password_hash(session, user_id) == NO_PASSWORD


class Terminal(io.StringIO):
    """A stdin with a person before it."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_password_is_asked_twice(
    settings: Settings, database_url: str, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, email = at(settings, database=database_url), f"{new_id()}@example.org"
    monkeypatch.setattr("sys.stdin", Terminal())
    typed = iter([PASSWORD, "correct hoarse", PASSWORD, PASSWORD])
    monkeypatch.setattr("getpass.getpass", lambda *_: next(typed))
    with pytest.raises(Failure, match="do not match"):
        operator_actions.create(here, email)
    assert not operator_actions.create(here, email)
    assert list(typed) == []
    with sync_database.transaction() as session:
        assert accounts.login_data(session, email) is not None


@pytest.mark.parametrize(
    ("email", "password", "problem"),
    [
        ("x@example.org", "password123", "too easy to guess"),
        ("nobody", PASSWORD, "e-mail"),
        ("x@example.org", "short", "10 to 128"),
        ("x@example.org", "", "10 to"),
    ],
)
def test_what_nobody_could_log_in_with_is_refused(
    settings: Settings,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    email: str,
    password: str,
    problem: str,
) -> None:
    with pytest.raises(Failure, match=problem):
        create(settings, database_url, monkeypatch, email, password)


def test_a_ban_ends_all_sessions_tells_the_sockets_and_can_be_lifted(night: Night, redis_url: str) -> None:
    gone = night.open_session()
    for _ in range(2):
        operator_actions.ban(night.settings, night.email, WHY)
        with pytest.raises(Refusal, match="banned"):
            night.log_in()
    assert not night.is_open(gone)
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists(f"revoked:{gone}")
    with night.database.transaction() as session:
        assert gone not in unclosed(session)

    operator_actions.lift_ban(night.settings, night.email, WHY)
    night.log_in()
    assert night.noted() == [("unban", "olga", WHY), ("ban", "olga", WHY), ("ban", "olga", WHY)]


def test_a_suspension_ends_sessions_and_can_be_ended(night: Night) -> None:
    gone = night.open_session()
    operator_actions.suspend(night.settings, night.email, 2, WHY)
    assert not night.is_open(gone)
    with night.database.transaction() as session, pytest.raises(Refusal, match="suspended"):
        accounts.require_may_trade(session, night.user_id)
    operator_actions.suspend(night.settings, night.email, 0, WHY)
    with night.database.transaction() as session:
        accounts.require_may_trade(session, night.user_id)
    with pytest.raises(Failure, match="a year"):
        operator_actions.suspend(night.settings, night.email, 366 * 24, WHY)


def test_roles_warnings_and_sessions_are_the_operators_too(night: Night) -> None:
    gone = night.open_session()
    operator_actions.set_role(night.settings, night.email, Role.MODERATOR, WHY)
    operator_actions.warn(night.settings, night.email, WHY)
    operator_actions.revoke_sessions(night.settings, night.email, WHY)
    assert not night.is_open(gone)
    with night.database.transaction() as session:
        assert accounts.profile(session, night.user_id).role is Role.MODERATOR
    assert [action for action, *_ in night.noted()] == ["revoke_sessions", "warn", "set_role"]


def test_who_is_warned_hears_it_on_open_sockets(night: Night, sync_hot: SyncHot) -> None:
    pubsub = sync_hot.client.pubsub()
    pubsub.ssubscribe(channel_of(night.user_id))
    assert pubsub.get_message(timeout=5)
    operator_actions.warn(night.settings, night.email, WHY)
    message = pubsub.get_message(timeout=5)
    pubsub.close()
    assert message is not None
    assert msgspec.json.decode(message["data"])["event"] == "warning"


def test_what_the_operator_gets_wrong_is_said_and_changes_nothing(night: Night) -> None:
    with pytest.raises(Failure, match="No user"):
        operator_actions.ban(night.settings, "nobody@example.org", WHY)
    with pytest.raises(Failure, match="No user"):
        operator_actions.entries(night.settings, "nobody@example.org", 20)
    for reason in ("", " ", "x" * 501, "two\nlines", "\x1b[2J"):
        with pytest.raises(Failure, match="reason"):
            operator_actions.ban(night.settings, night.email, reason)
    assert night.noted() == []


def test_without_redis_it_is_done_and_the_sweep_closes_the_sockets(night: Night) -> None:
    gone = night.open_session()
    with pytest.raises(Failure, match="Redis is away"):
        operator_actions.ban(at(night.settings, redis="redis://127.0.0.1:1"), night.email, WHY)
    assert not night.is_open(gone)
    with night.database.transaction() as session:
        assert gone in unclosed(session)


def test_who_runs_the_command_is_named_by_the_account_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    assert operator_actions.operator().operator == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    assert operator_actions.operator().operator == "uid 4000000"
    monkeypatch.setenv("SUDO_USER", "olga")
    assert operator_actions.operator().operator == "olga"


def test_an_administrator_who_is_made_is_in_the_audit_log(
    night: Night, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = f"{new_id()}@example.org"
    for _ in range(2):
        create(night.settings, database_url, monkeypatch, email, PASSWORD)
    again, first = operator_actions.entries(night.settings, email, 20)
    assert (first.action, first.reason, first.before, first.after) == (
        "set_role",
        "createadmin",
        None,
        {"role": "admin"},
    )
    assert (again.before, again.after) == ({"role": "admin"}, {"role": "admin"})


def test_the_commands_say_what_was_done(night: Night) -> None:
    commands = [
        ("warn",),
        ("suspend", "2"),
        ("suspend", "0"),
        ("ban",),
        ("unban",),
        ("revoke-sessions",),
        ("role", "moderator"),
    ]
    for name, *options in commands:
        assert night.email in night.said(name, night.email, *options, WHY)
    newest, older = night.said("audit", night.email, "-n", "2").splitlines()
    assert "olga: set_role user" in newest
    assert "{'role': 'user'} -> {'role': 'moderator'}" in newest
    assert "olga: revoke_sessions user" in older
    assert "No user has this e-mail address." in night.failed("ban", "nobody@example.org", WHY)


def test_every_action_is_documented_and_nothing_else(night: Night) -> None:
    with pytest.raises(SystemExit):
        night.said("--help")
    offered = re.findall(r"^    ([a-z-]+)", night.capsys.readouterr().out, re.MULTILINE)
    [table] = re.findall(r"^\| `\./neighborbid admin …` .*\n((?:\|.*\n)+)", OPERATIONS, re.MULTILINE)
    cells = [row.replace(r"\|", "/").split("|")[1] for row in table.splitlines()[1:]]
    documented = [name for cell in cells for name in re.findall(r"`([a-z-]+)[ `]", cell)]
    assert sorted(documented) == sorted(offered)


def test_a_user_may_be_named_by_the_id_that_the_lists_show(night: Night) -> None:
    night.said("warn", str(night.user_id), WHY)
    assert night.noted() == night.noted(night.user_id) == [("warn", "olga", WHY)]
    assert "There is no such user." in night.failed("warn", str(new_id()), WHY)


def test_while_postgresql_is_away_one_sentence_says_so(night: Night) -> None:
    away = at(night.settings, database="postgresql://127.0.0.1:1/nothing")
    with pytest.raises(Failure, match="A server is away: "):
        operator_actions.warn(away, night.email, WHY)
