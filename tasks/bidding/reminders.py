"""Notifies users that an auction has opened, ends soon, or was extended, and of announcements."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from market.bidding import outage_extensions, reminders
from market.bidding.reminders import Reminder
from market.notifications import announcements
from store.models import Event
from tasks.app import Resources, periodic
from tasks.exclusive_runs import RUN_S, alone

T = TypeVar("T")

log = structlog.get_logger()


@periodic("tasks.reminders.tell_opened", every_s=10)
def tell_opened(resources: Resources) -> None:
    """Notify users of auctions that have opened."""
    _remind(resources, Event.OPENED)


@periodic("tasks.reminders.tell_ending", every_s=10)
def tell_ending(resources: Resources) -> None:
    """Notify users of auctions that end soon."""
    _remind(resources, Event.ENDING_SOON)


@periodic("tasks.reminders.tell_extended", every_s=2)
def tell_extended(resources: Resources) -> None:
    """Notify all bidders in auctions that were extended after an outage, and outbid bidders in those that a late bid
    has extended."""
    _tell(resources, Event.EXTENDED, outage_extensions.unfinished, outage_extensions.notify_bidders)
    _remind(resources, Event.EXTENDED)


@periodic("tasks.reminders.tell_announced", every_s=10)
def tell_announced(resources: Resources) -> None:
    """Notify all users of the current announcements."""
    _tell(resources, Event.ANNOUNCEMENT, announcements.unfinished, announcements.notify_everybody)


def _remind(resources: Resources, event: Reminder) -> None:
    _tell(
        resources,
        event,
        partial(reminders.auctions_to_remind, event=event),
        partial(reminders.remind, event=event),
    )


def _tell(
    resources: Resources,
    event: Event,
    due: Callable[[Session], Sequence[T]],
    tell_next: Callable[[Session, T], bool],
) -> None:
    """Notify of what is due, one after the other, each in as many transactions as it takes; the next run goes on where
    this one had to stop."""
    with alone(resources.hot, f"reminders:{event}") as is_alone:
        if not is_alone:
            return
        end = time.monotonic() + RUN_S
        with resources.database.transaction() as session:
            found = due(session)
        for subject in found:
            try:
                more = True
                while more:
                    if time.monotonic() > end:
                        return
                    with resources.database.transaction() as session:
                        more = tell_next(session, subject)
                log.info("many_told", about=event, subject=str(subject))
            except Exception:
                # One that fails keeps no other from it.
                log.exception("telling_failed", about=event, subject=str(subject))
