"""What an operator on the machine may do: make the first administrator, and everything that the Admin API offers.

All of it is in the audit log, under the name of the operator's account on the machine.
"""

import asyncio
import getpass
import os
import pwd
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import msgspec
from redis import RedisError
from sqlalchemy.orm import Session

from market import audit
from market.accounts import accounts
from market.accounts.accounts import NewUser
from market.accounts.passwords import hash_password, require_uncommon
from market.audit import Actor, AuditView, Subject
from market.bidding import outage_extensions
from market.bidding.outage_extensions import Extended, Outage
from market.errors import Refusal
from market.fields import Email, NewPassword, Reason
from market.listings.refusals import ListingRefusal
from market.moderation import (
    auction_actions,
    fraud_signals,
    hiding,
    reports,
    sanctions,
)
from market.moderation.fraud_signals import FraudSignalView
from market.moderation.reports import OpenReports
from market.notifications import deliveries
from market.notifications.deliveries import DeadDelivery
from market.pages import Page
from market.platform import settings as platform_settings
from market.platform.settings import Setting
from market.times import clock, to_ms
from server.errors import Failure
from server.settings import Settings
from store.database import Database
from store.errors import AWAY
from store.models import Role
from store.redis.clients import Hot
from store.redis.switches import Switches

P = ParamSpec("P")
T = TypeVar("T")

HOUR_MS = 3_600_000
NAME = "Admin"
CREATED = "createadmin"
"""The reason that the audit log has for administrators who are made here."""


def create(settings: Settings, email: str) -> bool:
    """Give the account the role admin; False if there is none yet, and one is made.

    Only then is a password asked for, twice, or without a terminal read from the first line of stdin. Raises Failure
    if the address or the password is not allowed.
    """
    _check(email, Email, "This is not a valid e-mail address.")
    if _use(settings, _promote, email):
        return True
    password = _ask_password()
    try:
        require_uncommon(password, email, NAME)
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    new = NewUser(
        email=email,
        password_hash=hash_password(password),
        display_name=NAME,
        role=Role.ADMIN,
    )
    _use(settings, _register, new)
    return False


def _promote(session: Session, email: str) -> bool:
    """False if nobody has this address."""
    found = accounts.login_data(session, email)
    if found is not None:
        sanctions.set_role(session, operator(), found[0], Role.ADMIN, CREATED)
    return found is not None


def _register(session: Session, new: NewUser) -> None:
    made = accounts.register(session, new, verified=True)
    if made is None:
        raise Failure("Someone has just registered with this address. Please try again.")
    audit.record(session, operator(), "set_role", Subject("user", made), CREATED, None, {"role": Role.ADMIN})


def warn(settings: Settings, user: str, reason: str) -> None:
    """Warn a user."""
    _act(settings, user, reason, sanctions.warn)


def suspend(settings: Settings, user: str, hours: int, reason: str) -> None:
    """Let a user browse, but not bid or sell, for so many hours; 0 ends a suspension."""

    def use_case(session: Session, actor: Actor, user_id: UUID, reason: str) -> None:
        until = to_ms(clock(session)) + hours * HOUR_MS if hours else None
        sanctions.suspend(session, actor, user_id, until, reason)

    _act(settings, user, reason, use_case)


def ban(settings: Settings, user: str, reason: str) -> None:
    """End a user's sessions and refuse new ones."""
    _act(settings, user, reason, sanctions.ban)


def lift_ban(settings: Settings, user: str, reason: str) -> None:
    """Let a banned user log in again."""
    _act(settings, user, reason, sanctions.lift_ban)


def revoke_sessions(settings: Settings, user: str, reason: str) -> None:
    """End a user's sessions."""
    _act(settings, user, reason, sanctions.revoke_sessions)


def set_role(settings: Settings, user: str, role: Role, reason: str) -> None:
    """Give a user a `role`."""
    _act(
        settings,
        user,
        reason,
        lambda session, actor, user_id, reason: sanctions.set_role(session, actor, user_id, role, reason),
    )


def hide(settings: Settings, auction_id: UUID, hidden: bool, reason: str) -> None:
    """Hide an auction from everyone but its participants, or show it again."""
    _check_reason(reason)
    _use(settings, hiding.hide_auction, operator(), auction_id, hidden, reason)


def cancel(settings: Settings, auction_id: UUID, reason: str) -> None:
    """Cancel an auction that is not settled yet, whatever was bid: nobody wins, and every hold goes back. The `reason`
    is for everybody to read. Raises Failure also when Redis, which decides about a live one, is away."""
    _check_reason(reason)

    async def command(database: Database) -> None:
        try:
            await database.decide(auction_actions.cancel_auction, operator(), auction_id, reason)
        except RedisError as error:
            raise Failure(
                "Redis is away, so the auction may or may not be cancelled. Run this again when Redis is back."
            ) from error
        except Refusal as refusal:
            if refusal.code != ListingRefusal.CLOSED:
                raise
            raise Failure(
                "The auction closed first. Run this again in a second: a sale can be called off until it is settled."
            ) from refusal

    _run(settings, command)


def extend(settings: Settings, outage: Outage, reason: str) -> Extended:
    """Extend every auction that ran during an outage and has not ended: once for each action, however often it is
    repeated."""
    _check_reason(reason)

    async def command(database: Database) -> Extended:
        touched = await database.use(auction_actions.order_extension, operator(), outage, reason)
        outcomes = await database.decide_each(outage_extensions.extend, touched, outage)
        return outage_extensions.report(outage, outcomes)

    return _run(settings, command)


def read_switches(settings: Settings) -> Switches:
    """Which functions are on."""
    return _use(settings, platform_settings.get, Switches).value


def set_switch(settings: Settings, name: str, on: bool, reason: str) -> None:
    """Switch one function of the platform on or off, in every process. Raises Failure for an unknown name."""
    _check_reason(reason)
    if name not in Switches.__struct_fields__:
        raise Failure(f"There is no switch {name!r}. Choose one of {', '.join(Switches.__struct_fields__)}.")

    def use_case(session: Session) -> Setting[Switches]:
        before = platform_settings.get(session, Switches)
        value = msgspec.structs.replace(before.value, **{name: on})
        return platform_settings.put(session, operator(), value, before.version, reason)

    _use(settings, use_case)


def open_reports(settings: Settings, limit: int) -> list[OpenReports]:
    """Open reports of users, oldest first."""
    return _use(settings, reports.queue, None, limit).items


def open_signals(settings: Settings, limit: int) -> list[FraudSignalView]:
    """Open fraud signals, newest first."""
    return _use(settings, fraud_signals.page, False, None, None, limit).items


def dead_deliveries(settings: Settings, limit: int) -> list[DeadDelivery]:
    """Notifications that could not be delivered and are not tried again, newest first."""
    return _use(settings, deliveries.dead, None, limit).items


def entries(settings: Settings, about: str | None, limit: int) -> list[AuditView]:
    """The last entries of the audit log, all or about a user (by e-mail address) or something else (by id or name), the
    newest first. Raises Failure for an unknown address."""

    def use_case(session: Session) -> Page[AuditView]:
        subject = str(_user_id(session, about)) if about is not None and "@" in about else about
        return audit.page(session, None, subject, None, None, limit)

    return _use(settings, use_case).items


def operator() -> Actor:
    """Who runs the command, by the name of the account on this machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    return Actor(None, Role.ADMIN, os.environ.get("SUDO_USER", name))


def _act(
    settings: Settings, user: str, reason: str, use_case: Callable[[Session, Actor, UUID, str], None]
) -> None:
    """Act on a user, by e-mail address or id, as the operator. Raises Failure for an unknown user, a bad reason,
    and what is refused."""
    _check_reason(reason)
    _use(settings, lambda session: use_case(session, operator(), _user_id(session, user), reason))


def _use(
    settings: Settings, use_case: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`_run` a use-case alone."""
    return _run(settings, lambda database: database.use(use_case, *args, **kwargs))


def _run(settings: Settings, command: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Run it with connections of its own. Raises Failure for what is refused, and for a server that is away."""

    async def connected() -> T:
        hot = Hot.connect(settings.redis.url)
        database = Database(settings.postgres.url, hot)
        try:
            outcome = await command(database)
            if database.left_to_sweeps:
                raise Failure(
                    "It is done, but Redis is away: sockets, viewers and live auctions follow when it is back."
                )
            return outcome
        finally:
            await database.dispose()
            await hot.close()

    try:
        return asyncio.run(connected())
    except Refusal as refusal:
        raise Failure(refusal.detail) from refusal
    except AWAY as error:
        raise Failure(
            "A server is away: `./neighborbid status` shows which. Check whether it was done, and try again."
        ) from error


def _ask_password() -> str:
    if sys.stdin.isatty():
        password = getpass.getpass()
        if getpass.getpass("Repeat password: ") != password:
            raise Failure("The passwords do not match.")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    _check(password, NewPassword, "The password must have 10 to 128 characters.")
    return password


def _user_id(session: Session, user: str) -> UUID:
    """Whose e-mail address it is; an id stays what it is."""
    with suppress(ValueError):
        return UUID(user)
    found = accounts.login_data(session, user)
    if found is None:
        raise Failure("No user has this e-mail address.")
    return found[0]


def _check_reason(reason: str) -> None:
    _check(reason, Reason, "The reason must have 1 to 500 characters on one line.")


def _check(value: str, kind: object, problem: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Failure(problem) from error
