"""Telling those who are interested that an auction has opened, ends soon, or was extended after an outage, and
everybody what is announced."""

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from market import announcing, outages, reminders
from market.reminders import Reminder
from store.models import Event
from tasks.app import Resources, periodic
from tasks.turns import alone

T = TypeVar("T")

log = structlog.get_logger()


@periodic(every_s=10)
def tell_opened(resources: Resources) -> None:
    """Tell of the auctions that have opened."""
    _remind(resources, Event.OPENED)


@periodic(every_s=10)
def tell_ending(resources: Resources) -> None:
    """Tell of the auctions that end soon."""
    _remind(resources, Event.ENDING_SOON)


@periodic(every_s=2)
def tell_extended(resources: Resources) -> None:
    """Tell whoever had bid in the auctions that were extended after an outage."""
    _tell(resources, Event.EXTENDED, outages.untold, outages.tell)


@periodic(every_s=10)
def tell_announced(resources: Resources) -> None:
    """Tell everybody of the announcements of this moment."""
    _tell(resources, Event.ANNOUNCEMENT, announcing.due, announcing.announce)


def _remind(resources: Resources, event: Reminder) -> None:
    _tell(
        resources,
        event,
        lambda session: reminders.due(session, event),
        lambda session, auction_id, after: reminders.remind(session, auction_id, event, after),
    )


def _tell(
    resources: Resources,
    event: Event,
    due: Callable[[Session], Sequence[T]],
    tell_some: Callable[[Session, T, UUID | None], UUID | None],
) -> None:
    """Tell of all that is `due`. `tell_some` tells the next users behind one, and says who was the last, or None."""
    with alone(resources.hot, f"reminders:{event}") as is_alone:
        if not is_alone:
            return
        with resources.database.transaction() as session:
            subjects = due(session)
        for subject in subjects:
            try:
                last = None
                while True:
                    with resources.database.transaction() as session:
                        last = tell_some(session, subject, last)
                    if last is None:
                        break
                log.info("reminded", about=event, subject=str(subject))
            except Exception:
                # One that fails keeps no other from it.
                log.exception("reminder_failed", about=event, subject=str(subject))
