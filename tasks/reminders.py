"""Telling those who are interested that an auction has opened, or ends soon, and everybody what is announced."""

from uuid import UUID

import structlog

from market import announcing, reminders
from market.reminders import Reminder
from store.models import Event
from tasks.app import Resources, periodic
from tasks.turns import alone

log = structlog.get_logger()


@periodic(every_s=10)
def tell_opened(resources: Resources) -> None:
    """Tell of the auctions that have opened."""
    _tell(resources, Event.OPENED)


@periodic(every_s=10)
def tell_ending(resources: Resources) -> None:
    """Tell of the auctions that end soon."""
    _tell(resources, Event.ENDING_SOON)


@periodic(every_s=10)
def tell_announced(resources: Resources) -> None:
    """Tell everybody of the announcements of this moment."""
    with alone(resources.hot, "reminders:announced") as is_alone:
        if not is_alone:
            return
        with resources.database.transaction() as session:
            due = announcing.due(session)
        for announcement_id in due:
            last = None
            while True:
                with resources.database.transaction() as session:
                    last = announcing.announce(session, announcement_id, last)
                if last is None:
                    break
            log.info("announcement_told", announcement=str(announcement_id))


def _tell(resources: Resources, event: Reminder) -> None:
    with alone(resources.hot, f"reminders:{event}") as is_alone:
        if not is_alone:
            return
        with resources.database.transaction() as session:
            due = reminders.due(session, event)
        for auction_id in due:
            try:
                _tell_all(resources, auction_id, event)
            except Exception:
                # One that fails keeps no other from it.
                log.exception("reminder_failed", auction=str(auction_id))


def _tell_all(resources: Resources, auction_id: UUID, event: Reminder) -> None:
    last = None
    while True:
        with resources.database.transaction() as session:
            last = reminders.remind(session, auction_id, event, last)
        if last is None:
            log.info("auction_announced", auction=str(auction_id), about=event)
            return
