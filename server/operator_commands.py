"""The output of `./neighborbid admin`. What its actions do is in `server.operator_actions`."""

import argparse
from collections.abc import Iterable

import msgspec

from market.audit import AuditView
from market.bidding.outage_extensions import Outage
from market.moderation.fraud_signals import FraudSignalView
from market.moderation.reports import OpenReports
from market.notifications.deliveries import DeadDelivery
from market.times import from_ms, to_ms
from server import operator_actions
from server.errors import Failure
from server.instance import Say
from server.settings import Settings
from store.ids import new_id
from store.models import Role

MINUTE_MS = 60_000


def administer(settings: Settings, arguments: argparse.Namespace, say: Say) -> None:
    """Runs one action of `admin` and prints its outcome. Raises Failure."""
    match arguments.action:
        case "warn":
            operator_actions.warn(settings, arguments.user, arguments.reason)
            say(f"{arguments.user} was warned.")
        case "suspend":
            operator_actions.suspend(settings, arguments.user, arguments.hours, arguments.reason)
            state = (
                f"now suspended for {arguments.hours} hours; all sessions have ended"
                if arguments.hours
                else "no longer suspended"
            )
            say(f"{arguments.user} is {state}.")
        case "ban":
            operator_actions.ban(settings, arguments.user, arguments.reason)
            say(f"{arguments.user} is now banned; all sessions have ended.")
        case "unban":
            operator_actions.lift_ban(settings, arguments.user, arguments.reason)
            say(f"{arguments.user} may log in again.")
        case "revoke-sessions":
            operator_actions.revoke_sessions(settings, arguments.user, arguments.reason)
            say(f"All sessions of {arguments.user} have ended.")
        case "role":
            operator_actions.set_role(settings, arguments.user, Role(arguments.role), arguments.reason)
            say(f"{arguments.user} now has the role {arguments.role}.")
        case "hide":
            operator_actions.hide(settings, arguments.auction, True, arguments.reason)
            say(f"Auction {arguments.auction} is now visible only to its participants; it keeps running.")
        case "unhide":
            operator_actions.hide(settings, arguments.auction, False, arguments.reason)
            say(f"Auction {arguments.auction} is visible to everyone again.")
        case "cancel":
            operator_actions.cancel(settings, arguments.auction, arguments.reason)
            say(f"Auction {arguments.auction} is cancelled; nobody wins, and every hold is released.")
        case "extend":
            _extend(settings, arguments, say)
        case "switches":
            for name, is_on in msgspec.to_builtins(operator_actions.read_switches(settings)).items():
                say(f"{name} is {'on' if is_on else 'off'}.")
        case "switch":
            operator_actions.set_switch(
                settings, arguments.name, arguments.position == "on", arguments.reason
            )
            say(f"{arguments.name} is {arguments.position}.")
        case "reports":
            _show(map(_report, operator_actions.open_reports(settings, arguments.limit)), say)
        case "signals":
            _show(map(_signal, operator_actions.open_signals(settings, arguments.limit)), say)
        case "dead-deliveries":
            _show(map(_delivery, operator_actions.dead_deliveries(settings, arguments.limit)), say)
        case "audit":
            _show(map(_entry, operator_actions.entries(settings, arguments.about, arguments.limit)), say)


def _extend(settings: Settings, arguments: argparse.Namespace, say: Say) -> None:
    """Prints the id of the action before anything can go wrong: with it the action is continued."""
    order = arguments.order or new_id()
    say(f"Action: {order}")
    began_at, ended_at = to_ms(arguments.began_at), to_ms(arguments.ended_at)
    by_ms = arguments.minutes * MINUTE_MS
    done = operator_actions.extend(settings, Outage(order, began_at, ended_at, by_ms), arguments.reason)
    say(f"Auctions extended by {arguments.minutes} minutes: {len(done.extended)}.")
    if done.unreached:
        raise Failure(
            f"{len(done.unreached)} auctions could not be reached. Run this again with --action {order}, which extends "
            "none of them twice.",
            "\n".join(map(str, done.unreached)),
        )


def _show(lines: Iterable[str], say: Say) -> None:
    """Text of users and other servers cannot start a second line or move the cursor."""
    for line in lines:
        say("".join(char if char.isprintable() else " " for char in line))


def _report(found: OpenReports) -> str:
    reasons = ", ".join(found.reasons)
    return (
        f"{_time(found.first_at)} {found.kind} {found.subject_id} of user {found.owner_id}: "
        f"{found.count} reports ({reasons}): {found.text}"
    )


def _signal(found: FraudSignalView) -> str:
    seller = "" if found.other_id is None else f", seller {found.other_name} ({found.other_id})"
    auction = "" if found.auction_id is None else f", auction {found.auction_id}"
    why = ", ".join(f"{name} {value}" for name, value in found.why.items())
    return (
        f"{_time(found.created_at)} {found.kind}: {found.user_name} ({found.user_id}){seller}{auction}: {why}"
    )


def _delivery(found: DeadDelivery) -> str:
    return (
        f"{_time(found.died_at)} {found.channel} of {found.event} to user {found.user_id}, "
        f"{found.attempts} attempts: {found.error}"
    )


def _entry(found: AuditView) -> str:
    who = found.operator or f"{found.actor_name} ({found.actor_id})"
    changed = "" if found.after is None else f" {found.before} -> {found.after}"
    return f"{_time(found.at)} {who}: {found.action} {found.subject_kind} {found.subject_id}: {found.reason}{changed}"


def _time(ms: int) -> str:
    return from_ms(ms).isoformat(" ", "seconds")
