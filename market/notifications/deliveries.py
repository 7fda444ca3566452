"""Notifications on their way out, by e-mail or Web Push: what is due is claimed by a task, sent, and noted.

What is due for one user by one channel goes together. Each notification leaves once per channel; a process that dies
while sending lets it leave again. Times are PostgreSQL's, unless the caller knows better (`now`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from market.notifications.preferences import (
    DEFAULT_ZONE,
    GATHERED,
    Reader,
    after_quiet_hours,
)
from market.notifications.texts import Locale, OutgoingNotification
from market.pages import Page, list_page
from market.times import clock, to_ms
from store import outbox
from store.database import any_id
from store.models import (
    SECURITY,
    Channel,
    Digest,
    Event,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
    User,
)

TOGETHER = 500
"""At most so many deliveries go together."""

MAX_FAILURES = 100
"""A browser that has not been reached so often in a row is forgotten. Pages subscribe anew when they are opened."""

_OVER = {Event.WON, Event.LOST, Event.SOLD, Event.UNSOLD, Event.CANCELLED}
SUPERSEDED_BY: dict[Event, set[Event]] = {
    Event.OUTBID: _OVER | {Event.OUTBID, Event.LEADING},
    Event.LEADING: _OVER | {Event.OUTBID, Event.LEADING},
    Event.EXTENDED: _OVER | {Event.EXTENDED},
    Event.ENDING_SOON: _OVER,
    Event.OPENED: _OVER,
}
"""What is not worth sending any more once one of these has happened in the same auction."""

_UNTIL_END = {Event.OPENED, Event.ENDING_SOON}
"""What is not worth sending any more after the `ends_at` that it tells: who only watches hears nothing of the end."""


@dataclass(frozen=True, slots=True)
class Browser:
    """Where a message of Web Push goes, and the keys to encrypt it with."""

    id: UUID
    endpoint: str
    p256dh: bytes
    auth: bytes


@dataclass(frozen=True, slots=True)
class DeliveryClaim:
    """Deliveries to one user by one channel, to be sent together now; maybe of none. `notices` has the newest first;
    `address` is that of e-mails, and `browsers` are those of Web Push."""

    at: datetime
    ids: tuple[UUID, ...]
    user_id: UUID
    notices: tuple[OutgoingNotification, ...]
    locale: Locale
    attempt: int
    address: str
    browsers: tuple[Browser, ...] = ()


class DeadDelivery(msgspec.Struct, frozen=True):
    """A notification that could not be sent, and why; for administrators. Times in ms."""

    id: UUID
    user_id: UUID
    channel: Channel
    event: Event
    attempts: int
    error: str
    died_at: int


def claim(session: Session, channel: Channel, now: datetime | None = None) -> DeliveryClaim | None:
    """What is to be sent next by this channel, or None if nothing is due. Commit, send, then say `sent` or `failed`.

    What has become pointless is deleted on the way, what falls into quiet hours that were chosen meanwhile waits, and
    what processes died of too often is given up. If nothing else was due to the user, the claim is empty: commit, and
    ask again. So no transaction has to go through all that is pointless.
    """
    now = now or clock(session)
    waiting = (NotificationDelivery.channel == channel) & outbox.waiting(NotificationDelivery)
    first = session.execute(
        select(NotificationDelivery.user_id, Notification.event)
        .join(Notification, Notification.id == NotificationDelivery.notification_id)
        .where(waiting, NotificationDelivery.due_at <= now)
        .order_by(NotificationDelivery.due_at)
        .limit(1)
        .with_for_update(of=NotificationDelivery, skip_locked=True)
    ).one_or_none()
    if first is None:
        return None
    user_id, event = first
    # Only what was never tried is taken before its time: the rest is being sent, or was asked to wait.
    soon = and_(NotificationDelivery.attempts == 0, NotificationDelivery.due_at <= now + GATHERED)
    secure = Notification.event.in_(SECURITY)
    together = session.execute(
        select(NotificationDelivery, Notification)
        .join(Notification, Notification.id == NotificationDelivery.notification_id)
        .where(
            waiting,
            NotificationDelivery.user_id == user_id,
            or_(NotificationDelivery.due_at <= now, soon),
            secure if event in SECURITY else ~secure,
        )
        .order_by(NotificationDelivery.due_at)
        .limit(TOGETHER)
        .with_for_update(of=NotificationDelivery, skip_locked=True)
    ).all()
    claimed = _claim(session, channel, user_id, [(row[0], row[1]) for row in together], now)
    session.flush()
    return claimed


def _claim(
    session: Session,
    channel: Channel,
    user_id: UUID,
    together: Sequence[tuple[NotificationDelivery, Notification]],
    now: datetime,
) -> DeliveryClaim:
    """Those of a user's deliveries that are still to be sent."""
    user = session.get_one(User, user_id)
    browsers = _browsers(session, user_id) if channel == Channel.PUSH else ()
    reader = _reader(session.get(NotificationPreferences, user_id), user, has_browser=bool(browsers))
    newest = _newest(session, user_id, [notification for _, notification in together])
    kept = []
    for delivery, notification in together:
        send_at = when_to_send(notification, channel, reader, newest, now)
        if send_at is None:
            session.delete(delivery)
        elif send_at > now:
            delivery.due_at = send_at
        elif outbox.take(delivery, now):
            kept.append((delivery, notification))
    kept.sort(key=lambda pair: (pair[1].created_at, pair[1].id), reverse=True)
    return DeliveryClaim(
        now,
        tuple(delivery.id for delivery, _ in kept),
        user_id,
        tuple(_notice(notification) for _, notification in kept),
        reader.locale,
        max((delivery.attempts for delivery, _ in kept), default=0),
        user.email,
        browsers,
    )


def _reader(preferences: NotificationPreferences | None, user: User, has_browser: bool) -> Reader:
    has_email, language = user.email_verified_at is not None, user.language
    if preferences is None:
        return Reader(None, None, DEFAULT_ZONE, Digest.OFF, {}, language, has_email, has_browser)
    return Reader(
        preferences.quiet_from,
        preferences.quiet_until,
        preferences.time_zone,
        preferences.digest,
        preferences.channels,
        language,
        has_email,
        has_browser,
    )


def _notice(notification: Notification) -> OutgoingNotification:
    return OutgoingNotification(
        notification.id,
        notification.event,
        notification.data,
        notification.auction_id,
        notification.order_id,
        notification.created_at,
    )


def _browsers(session: Session, user_id: UUID) -> tuple[Browser, ...]:
    rows = session.scalars(
        select(PushSubscription).where(PushSubscription.user_id == user_id).order_by(PushSubscription.id)
    )
    return tuple(Browser(row.id, row.endpoint, row.p256dh, row.auth) for row in rows)


Newest = Mapping[tuple[UUID | None, Event], datetime]
"""When something of each kind has last happened in an auction, as far as a user was notified of it."""


def _newest(session: Session, user_id: UUID, notifications: Sequence[Notification]) -> Newest:
    """What may have overtaken these notifications of a user."""
    auctions = {item.auction_id for item in notifications if item.event in SUPERSEDED_BY and item.auction_id}
    if not auctions:
        return {}
    rows = session.execute(
        select(Notification.auction_id, Notification.event, func.max(Notification.created_at))
        .where(
            Notification.user_id == user_id,
            Notification.auction_id == any_id(auctions),
            Notification.created_at >= min(item.created_at for item in notifications),
        )
        .group_by(Notification.auction_id, Notification.event)
    )
    return {(auction_id, event): at for auction_id, event, at in rows}


def when_to_send(
    item: Notification, channel: Channel, reader: Reader, newest: Newest, now: datetime
) -> datetime | None:
    """`now`, or the end of the quiet hours. None if the user cannot be reached, or it is pointless by now: the user has
    read it, does not want it (any more), or it was overtaken by what has happened since. What is about the security of
    the account is never pointless, and waits for nothing."""
    if not (reader.has_email if channel == Channel.EMAIL else reader.has_browser):
        return None
    if item.event in SECURITY:
        return now
    overtaken = any(
        newest.get((item.auction_id, later), item.created_at) > item.created_at
        for later in SUPERSEDED_BY.get(item.event, ())
    )
    end = item.data.get("ends_at")
    over = item.event in _UNTIL_END and isinstance(end, int) and end <= to_ms(now)
    if item.read_at is not None or overtaken or over or not reader.wants(item.event, channel):
        return None
    return after_quiet_hours(reader, now)


def sent(session: Session, claim: DeliveryClaim, now: datetime | None = None) -> None:
    """Note that it was sent."""
    outbox.note_sent(session, NotificationDelivery, claim.ids, now or clock(session))


def failed(
    session: Session,
    claim: DeliveryClaim,
    error: str,
    wait: timedelta = timedelta(0),
    final: bool = False,
    now: datetime | None = None,
) -> int:
    """Note that it could not be sent, and try again later, after `wait` at least, unless that is `final`. How many are
    given up instead."""
    now = now or clock(session)
    return outbox.note_failed(
        session, NotificationDelivery, claim.ids, claim.attempt, error, now, wait, final
    )


def note_browsers(
    session: Session, reached: Collection[UUID], gone: Collection[UUID], failed: Collection[UUID]
) -> None:
    """Note which browsers were reached, have unsubscribed, and could not be reached."""
    id, failures = PushSubscription.id, PushSubscription.failures
    unsynchronized = {"synchronize_session": False}
    session.execute(
        update(PushSubscription).where(id == any_id(reached), failures > 0).values(failures=0),
        execution_options=unsynchronized,
    )
    session.execute(
        update(PushSubscription).where(id == any_id(failed)).values(failures=failures + 1),
        execution_options=unsynchronized,
    )
    session.execute(
        delete(PushSubscription).where(
            or_(id == any_id(gone), and_(id == any_id(failed), failures >= MAX_FAILURES))
        ),
        execution_options=unsynchronized,
    )


def dead(session: Session, cursor: str | None, limit: int) -> Page[DeadDelivery]:
    """What was given up, newest first. Refuses with `invalid_cursor`."""
    query = (
        select(NotificationDelivery, Notification.event)
        .join(Notification, Notification.id == NotificationDelivery.notification_id)
        .where(NotificationDelivery.dead_at.is_not(None))
    )
    return list_page(session, query, _dead, NotificationDelivery.id, cursor, limit)


def _dead(row: NotificationDelivery, event: Event) -> DeadDelivery:
    assert row.dead_at is not None
    return DeadDelivery(
        row.id,
        row.user_id,
        row.channel,
        event,
        row.attempts,
        row.last_error or "",
        to_ms(row.dead_at),
    )
