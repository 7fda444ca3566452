"""Notifications: written once, by the transaction that causes them, and pushed after its commit.

`notify` is the one way to notify a user. It writes the row for the user's list, and a delivery for each channel that
the user wants for such an event; `market.notifications.deliveries` sends these. When, by the clock of the user's day,
is the matter of `delivery_time`, which is pure.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, partial
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
from sqlalchemy import JSON, Table, Text, Uuid, cast, column, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications.refusals import NotificationRefusal
from market.notifications.texts import Locale, shown
from market.pages import Page, list_page
from market.times import clock, to_ms
from store import effects
from store.database import any_id
from store.effects import ToUser
from store.ids import new_id
from store.models import (
    SECURITY,
    Channel,
    Digest,
    Event,
    Language,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
    User,
)
from store.redis.pushes import NotificationPush, UnreadPush

Value = str | int | bool | None

_WAITS = {
    Event.OUTBID,
    Event.LEADING,
    Event.RESERVE_MET,
    Event.OPENED,
    Event.EXTENDED,
    Event.LOST,
    Event.UNSOLD,
    Event.QUESTION,
    Event.ANSWER,
    Event.MESSAGE,
    Event.REVIEW,
    Event.ANNOUNCEMENT,
}
"""What is not urgent and goes into a digest. The rest asks for something to be done."""

_NEVER_MAILED = {Event.LEADING, Event.RESERVE_MET, Event.OPENED, Event.ENDING_SOON, Event.EXTENDED}
_NOT_BY_DEFAULT = {
    Channel.EMAIL: _NEVER_MAILED | {Event.LOST, Event.REVIEW, Event.ANNOUNCEMENT},
    Channel.PUSH: {Event.LEADING, Event.EXTENDED, Event.ANNOUNCEMENT},
}

DEFAULT_ZONE = "Asia/Seoul"

GATHERED = timedelta(seconds=60)
"""How long an e-mail that is not urgent waits for others that can go with it."""

DIGEST_AT = 9 * 60
"""The minute of the user's day at which a digest is sent."""

MAX_UNREAD = 1_000
"""Unread notifications are counted up to here."""

KEEP_DAYS = 90

FORGOTTEN = 5_000
"""So many notifications are deleted in a transaction: a million, written at once, would take too long."""


class NewNotification(msgspec.Struct, frozen=True, gc=False):
    """A notification to be written. `cause` names what the event came from: the same cause notifies only once.

    `data` are values for texts; the user may know them all, so no one else's maximum is among them. `leaves` is False
    for what is only to stand in the list, because something newer says more.
    """

    user_id: UUID
    event: Event
    cause: str
    data: Mapping[str, Value]
    auction_id: UUID | None = None
    order_id: UUID | None = None
    leaves: bool = True

    @property
    def key(self) -> str:
        """The name of it among the user's notifications."""
        return f"{self.event}:{self.cause}"


class NotificationView(msgspec.Struct, frozen=True):
    """A notification. `title` and `body` say it in the user's language and time zone, as e-mails do; `path` leads to
    more, from the gateway's root. `data` are the values of that text. Times in ms, `read_at` null while it is unread.
    """

    id: UUID
    event: Event
    title: str
    body: str
    path: str
    auction_id: UUID | None
    order_id: UUID | None
    data: dict[str, Value]
    created_at: int
    read_at: int | None


class Unread(msgspec.Struct, frozen=True):
    """How many notifications a user has not read, counted up to `MAX_UNREAD`."""

    unread: int


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By which channels a user wants to be notified of an event. The list has it in any case."""

    event: Event
    email: bool
    push: bool


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """How a user wants to be notified. Between `quiet_from` and `quiet_until`, minutes of the day in `time_zone`, only
    what is about the account's security is sent; both are null, or equal, without quiet hours. `channels` has every
    event.
    """

    quiet_from: int | None = None
    quiet_until: int | None = None
    time_zone: str = DEFAULT_ZONE
    digest: Digest = Digest.OFF
    channels: list[Wish]
    version: int = 0


_DEFAULTS = {
    event: Wish(
        event, event not in _NOT_BY_DEFAULT[Channel.EMAIL], event not in _NOT_BY_DEFAULT[Channel.PUSH]
    )
    for event in Event
}


@dataclass(frozen=True, slots=True)
class Reader:
    """A user as far as notifications are concerned: the row of preferences, and how the user can be reached."""

    quiet_from: int | None
    quiet_until: int | None
    time_zone: str
    digest: Digest
    deviations: Mapping[str, Mapping[str, bool]]
    language: Language
    has_email: bool
    has_browser: bool

    @property
    def locale(self) -> Locale:
        return Locale(self.language, zone_of(self.time_zone))

    def wants(self, event: Event, channel: Channel) -> bool:
        """Whether the user wants to be notified of the event by this channel."""
        default = event not in _NOT_BY_DEFAULT[channel]
        return self.deviations.get(event, {}).get(channel, default)


def delivery_time(event: Event, channel: Channel, reader: Reader, now: datetime) -> datetime | None:
    """When a notification that is written at `now` is to be sent by a channel; None if it is not."""
    if not (reader.has_email if channel == Channel.EMAIL else reader.has_browser):
        return None
    if channel == Channel.EMAIL and event == Event.PASSWORD_CHANGED:
        return None  # `market.notifications.account_emails` has written one
    if event in SECURITY:
        return now if channel == Channel.EMAIL or reader.wants(event, channel) else None
    if not reader.wants(event, channel):
        return None
    if channel == Channel.EMAIL and event in _WAITS:
        if reader.digest == Digest.DAILY:
            now = _next(DIGEST_AT, now, reader.time_zone)
        else:
            now += GATHERED
    return after_quiet_hours(reader, now)


def zone_of(name: str) -> ZoneInfo:
    """The time zone; the default one if this machine does not know what was chosen on another, or long ago."""
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError:
        return ZoneInfo(DEFAULT_ZONE)


def after_quiet_hours(reader: Reader, at: datetime) -> datetime:
    """`at`, or the end of the quiet hours that it falls into."""
    start, end = reader.quiet_from, reader.quiet_until
    if start is None or end is None:
        return at
    local = at.astimezone(zone_of(reader.time_zone))
    # How far into the quiet hours it is, and how long these are: both may go over midnight.
    if (local.hour * 60 + local.minute - start) % _DAY >= (end - start) % _DAY:
        return at
    return _next(end, at, reader.time_zone)


_DAY = 24 * 60


def _next(minute: int, after: datetime, time_zone: str) -> datetime:
    """The next moment after `after` at which it is this minute of the day there."""
    local = after.astimezone(zone_of(time_zone))
    moment = local.replace(hour=minute // 60, minute=minute % 60, second=0, microsecond=0)
    if moment <= local:
        moment += timedelta(days=1)
    return moment.astimezone(after.tzinfo)


def notify(session: Session, new: Sequence[NewNotification]) -> None:
    """Notify users, in the transaction that causes it. What was written before is left out, and so are users whose
    account is deleted."""
    if not new:
        return
    now, found = readers(session, {item.user_id for item in new})
    # In one order everywhere: who writes the same keys in another one would be waited for in a circle.
    rows = [
        (new_id(), item)
        for item in sorted(new, key=lambda item: (item.user_id.int, item.key))
        if item.user_id in found
    ]
    written = _write(session, rows)
    leaving = [(id, item) for id, item in rows if item.leaves and id in written]
    if not leaving:
        return
    deliveries = [
        _Delivery(new_id(), id, item.user_id, channel, due_at)
        for id, item in leaving
        for channel in Channel
        if (due_at := delivery_time(item.event, channel, found[item.user_id], now)) is not None
    ]
    if deliveries:
        session.execute(_insertion(NotificationDelivery, _Delivery, deliveries))
    unread = _count_unread(session, {item.user_id for _, item in leaving})
    effects.after_commit(
        session,
        *(
            ToUser(item.user_id, _push(id, item, found[item.user_id].locale, now, unread[item.user_id]))
            for id, item in leaving
        ),
    )


def _push(id: UUID, item: NewNotification, locale: Locale, now: datetime, unread: int) -> NotificationPush:
    words = shown(item, locale)
    return NotificationPush(
        id=id,
        event=item.event,
        title=words.subject,
        body=words.body,
        path=words.link,
        auction=item.auction_id,
        order=item.order_id,
        data=dict(item.data),
        created_at=to_ms(now),
        unread=unread,
    )


class _Row(msgspec.Struct, frozen=True, gc=False):
    id: UUID
    user_id: UUID
    event: Event
    key: str
    auction_id: UUID | None
    order_id: UUID | None
    data: Mapping[str, Value]


class _Delivery(msgspec.Struct, frozen=True, gc=False):
    id: UUID
    notification_id: UUID
    user_id: UUID
    channel: Channel
    due_at: datetime


def _write(session: Session, rows: Sequence[tuple[UUID, NewNotification]]) -> set[UUID]:
    """The ids of those that were not there."""
    values = [
        _Row(id, item.user_id, item.event, item.key, item.auction_id, item.order_id, item.data)
        for id, item in rows
    ]
    insertion = _insertion(Notification, _Row, values).on_conflict_do_nothing()
    return set(session.scalars(insertion.returning(column("id", Uuid))))


def _insertion(
    entity: type[Notification | NotificationDelivery],
    row: type[_Row | _Delivery],
    rows: Sequence[_Row | _Delivery],
) -> postgresql.Insert:
    """All rows go as one value, past the ORM: write-back has thousands."""
    table = entity.__table__
    assert isinstance(table, Table)
    names = row.__struct_fields__
    new = func.json_to_recordset(cast(literal(msgspec.json.encode(rows).decode(), Text), JSON)).table_valued(
        *(column(name, table.c[name].type) for name in names)
    )
    return postgresql.insert(table).from_select(names, select(new.render_derived(with_types=True)))


def readers(session: Session, user_ids: Collection[UUID]) -> tuple[datetime, dict[UUID, Reader]]:
    """The time by PostgreSQL's clock, and those of the users whose account is not deleted, nor will be before this
    transaction ends."""
    preferences = NotificationPreferences
    has_browser = select(PushSubscription.id).where(PushSubscription.user_id == User.id).exists()
    now = clock(session)
    found = session.execute(
        select(
            User.id,
            User.language,
            User.email_verified_at.is_not(None).label("has_email"),
            has_browser.label("has_browser"),
            preferences.quiet_from,
            preferences.quiet_until,
            preferences.time_zone,
            preferences.digest,
            preferences.channels,
        )
        .outerjoin(preferences, preferences.user_id == User.id)
        .where(User.id == any_id(user_ids), User.deleted_at.is_(None))
        .order_by(User.id)
        .with_for_update(read=True, key_share=True, of=User)
    )
    return now, {
        row.id: Reader(
            row.quiet_from,
            row.quiet_until,
            row.time_zone or DEFAULT_ZONE,
            row.digest or Digest.OFF,
            row.channels or {},
            row.language,
            row.has_email,
            row.has_browser,
        )
        for row in found
    }


def _count_unread(session: Session, user_ids: Collection[UUID]) -> dict[UUID, int]:
    if not user_ids:
        return {}
    first = (
        select(Notification.id)
        .where(Notification.user_id == User.id, Notification.read_at.is_(None))
        .limit(MAX_UNREAD)
        .correlate(User)
        .subquery()
    )
    count = select(func.count()).select_from(first).scalar_subquery()
    return dict(session.execute(select(User.id, count).where(User.id == any_id(user_ids))).all())


def page(
    session: Session, user_id: UUID, unread: bool, cursor: str | None, limit: int
) -> Page[NotificationView]:
    """The user's notifications, or only those that are `unread`, newest first. Refuses with `invalid_cursor`."""
    query = select(Notification).where(Notification.user_id == user_id)
    if unread:
        query = query.where(Notification.read_at.is_(None))
    view = partial(_view, _locale(session, user_id))
    return list_page(session, query, view, Notification.id, cursor, limit)


def _locale(session: Session, user_id: UUID) -> Locale:
    language, time_zone = session.execute(
        select(User.language, NotificationPreferences.time_zone)
        .outerjoin(NotificationPreferences, NotificationPreferences.user_id == User.id)
        .where(User.id == user_id)
    ).one()
    return Locale(language, zone_of(time_zone or DEFAULT_ZONE))


def count_unread(session: Session, user_id: UUID) -> Unread:
    """How many the user has not read."""
    return Unread(_count_unread(session, {user_id}).get(user_id, 0))


def read(session: Session, user_id: UUID, notification_id: UUID) -> Unread:
    """Note that the user has read one. Doing it again is harmless. Refuses with `not_found`."""
    mine = session.scalar(
        update(Notification)
        .where(Notification.id == notification_id, Notification.user_id == user_id)
        .values(read_at=func.coalesce(Notification.read_at, func.now()))
        .returning(Notification.id),
        execution_options={"synchronize_session": False},
    )
    if mine is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return _tell_unread(session, user_id)


def read_all(session: Session, user_id: UUID, up_to: UUID) -> Unread:
    """Note that the user has read every one up to the id `up_to`, which the list shows first."""
    session.execute(
        update(Notification)
        .where(Notification.user_id == user_id, Notification.read_at.is_(None), Notification.id <= up_to)
        .values(read_at=func.now()),
        execution_options={"synchronize_session": False},
    )
    return _tell_unread(session, user_id)


def read_about(session: Session, user_id: UUID, event: Event, order_id: UUID) -> None:
    """Note that the user has read what this event said about an order: elsewhere, such as in its chat."""
    told = session.scalars(
        update(Notification)
        .where(
            Notification.user_id == user_id,
            Notification.read_at.is_(None),
            Notification.event == event,
            Notification.order_id == order_id,
        )
        .values(read_at=func.now())
        .returning(Notification.id),
        execution_options={"synchronize_session": False},
    ).all()
    if told:
        _tell_unread(session, user_id)


def _tell_unread(session: Session, user_id: UUID) -> Unread:
    """How many the user has not read, pushed to the user's sockets, too: those of other devices do not know."""
    left = count_unread(session, user_id)
    effects.after_commit(session, ToUser(user_id, UnreadPush(unread=left.unread)))
    return left


def preferences(session: Session, user_id: UUID) -> Preferences:
    """How the user wants to be notified."""
    row = session.get(NotificationPreferences, user_id, populate_existing=True)
    if row is None:
        return Preferences(channels=list(_DEFAULTS.values()))
    return Preferences(
        quiet_from=row.quiet_from,
        quiet_until=row.quiet_until,
        time_zone=row.time_zone,
        digest=row.digest,
        channels=[
            msgspec.structs.replace(default, **row.channels.get(event, {}))
            for event, default in _DEFAULTS.items()
        ],
        version=row.version,
    )


def prefer(session: Session, user_id: UUID, new: Preferences) -> Preferences:
    """Set how the user wants to be notified. Events that `channels` does not name are as by default; `version` is the
    one that is edited.

    Refuses with `invalid_preferences` (naming the field), or with `precondition_failed` if they are not in this version
    any more.
    """
    if (new.quiet_from is None) != (new.quiet_until is None):
        raise _invalid("quiet_until", "Quiet hours need both a beginning and an end.")
    if new.time_zone not in _zones():
        raise _invalid("time_zone", "There is no such time zone. Use a name such as Asia/Seoul.")
    if any(wish.event in SECURITY and not wish.email for wish in new.channels):
        raise _invalid("channels", "E-mails about the security of your account cannot be turned off.")
    values = {
        "quiet_from": new.quiet_from,
        "quiet_until": new.quiet_until,
        "time_zone": new.time_zone,
        "digest": new.digest,
        "channels": {
            wish.event: {"email": wish.email, "push": wish.push}
            for wish in new.channels
            if wish != _DEFAULTS[wish.event]
        },
    }
    if new.version == 0:
        edit = postgresql.insert(NotificationPreferences).values(user_id=user_id, **values)
        edited = session.scalar(edit.on_conflict_do_nothing().returning(NotificationPreferences.user_id))
    else:
        edited = session.scalar(
            update(NotificationPreferences)
            .where(NotificationPreferences.user_id == user_id, NotificationPreferences.version == new.version)
            .values(**values)
            .returning(NotificationPreferences.user_id),
            execution_options={"synchronize_session": False},
        )
    if edited is None:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    return preferences(session, user_id)


@cache
def _zones() -> frozenset[str]:
    # It reads hundreds of files.
    return frozenset(available_timezones())


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete a user's notifications, preferences and subscriptions."""
    for table in (Notification, NotificationPreferences, PushSubscription):
        session.execute(
            delete(table).where(table.user_id == user_id), execution_options={"synchronize_session": False}
        )


def forget_old(session: Session) -> bool:
    """Delete old notifications, read or not, `FORGOTTEN` at a time. Whether there may be more."""
    old = Notification.created_at < func.now() - timedelta(days=KEEP_DAYS)
    oldest = select(Notification.id).where(old).order_by(Notification.created_at).limit(FORGOTTEN)
    deleted = session.execute(
        delete(Notification).where(Notification.id.in_(oldest)).returning(Notification.id),
        execution_options={"synchronize_session": False},
    ).all()
    return len(deleted) == FORGOTTEN


def _invalid(field: str, detail: str) -> Refusal:
    return Refusal(NotificationRefusal.INVALID_PREFERENCES, detail, field=field)


def _view(locale: Locale, row: Notification) -> NotificationView:
    words = shown(row, locale)
    return NotificationView(
        row.id,
        row.event,
        words.subject,
        words.body,
        words.link,
        row.auction_id,
        row.order_id,
        row.data,
        to_ms(row.created_at),
        None if row.read_at is None else to_ms(row.read_at),
    )
