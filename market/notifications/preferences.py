"""How users want to be notified, and when that is: channels, quiet hours, digests. What the clock of a user's day has
to say about a notification is `delivery_time`, which is pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications.refusals import NotificationRefusal
from market.notifications.texts import Locale
from market.times import clock
from store.database import any_id
from store.models import (
    SECURITY,
    Channel,
    Digest,
    Event,
    Language,
    NotificationPreferences,
    PushSubscription,
    User,
)

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


def locale_of(session: Session, user_id: UUID) -> Locale:
    language, time_zone = session.execute(
        select(User.language, NotificationPreferences.time_zone)
        .outerjoin(NotificationPreferences, NotificationPreferences.user_id == User.id)
        .where(User.id == user_id)
    ).one()
    return Locale(language, zone_of(time_zone or DEFAULT_ZONE))


def get(session: Session, user_id: UUID) -> Preferences:
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


def put(session: Session, user_id: UUID, new: Preferences) -> Preferences:
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
    return get(session, user_id)


@cache
def _zones() -> frozenset[str]:
    # It reads hundreds of files.
    return frozenset(available_timezones())


def _invalid(field: str, detail: str) -> Refusal:
    return Refusal(NotificationRefusal.INVALID_PREFERENCES, detail, field=field)
