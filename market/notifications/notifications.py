"""Notifications: written once, by the transaction that causes them, and pushed after its commit.

`notify` is the one way to notify a user. It writes the row for the user's list, and a delivery for each channel that
the user wants for such an event; `market.notifications.deliveries` sends these. When, by the clock of the user's day,
is the matter of `delivery_time`, which is pure.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec
from sqlalchemy import JSON, Table, Text, Uuid, cast, column, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.notifications.preferences import delivery_time, locale_of, readers
from market.notifications.texts import Locale, shown
from market.pages import Page, list_page
from market.times import to_ms
from store import effects
from store.database import any_id
from store.effects import ToUser
from store.ids import new_id
from store.models import (
    Channel,
    Event,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
    User,
)
from store.redis.pushes import NotificationPush, UnreadPush

Value = str | int | bool | None


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
    view = partial(_view, locale_of(session, user_id))
    return list_page(session, query, view, Notification.id, cursor, limit)


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
