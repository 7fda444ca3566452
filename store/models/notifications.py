"""Notifications, their deliveries, and how users want them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, Outgoing, WordOf, one_of


class Event(StrEnum):
    """What a notification says."""

    OUTBID = "outbid"
    LEADING = "leading"
    """Leading again, after having been outbid."""
    RESERVE_MET = "reserve_met"
    OPENED = "opened"
    ENDING_SOON = "ending_soon"
    EXTENDED = "extended"
    WON = "won"
    LOST = "lost"
    SOLD = "sold"
    UNSOLD = "unsold"
    CANCELLED = "cancelled"
    """An auction will not take place, or was broken off."""
    QUESTION = "question"
    ANSWER = "answer"
    HANDOVER_PROPOSED = "handover_proposed"
    HANDOVER_AGREED = "handover_agreed"
    ORDER_HAND_OVER = "order_hand_over"
    """The others that begin so: a step of an order, by the name of the action."""
    ORDER_REPORT_NO_SHOW = "order_report_no_show"
    ORDER_CONTEST = "order_contest"
    ORDER_SHIP = "order_ship"
    ORDER_CONFIRM = "order_confirm"
    ORDER_REPORT_PROBLEM = "order_report_problem"
    ORDER_REFUND = "order_refund"
    ORDER_TIME_OUT = "order_time_out"
    ORDER_DECIDE_FOR_SELLER = "order_decide_for_seller"
    ORDER_DECIDE_FOR_BUYER = "order_decide_for_buyer"
    REVIEW = "review"
    LOGIN = "login"
    """Somebody has logged in from a new address or device."""
    SESSION_STOLEN = "session_stolen"
    """A log-in was ended because a refresh token of it was shown again."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    ANNOUNCEMENT = "announcement"
    WARNING = "warning"
    """A moderator's word to the user."""
    SUSPENDED = "suspended"
    MESSAGE = "message"
    """The first one in an order's chat that the user has not read."""
    DISPUTE = "dispute"


SECURITY = frozenset({Event.LOGIN, Event.SESSION_STOLEN, Event.PASSWORD_CHANGED, Event.SECOND_FACTOR_CHANGED})
"""Sent at any hour, and always by e-mail: who has got into an account must not be able to hide it."""


class Notification(Base):
    """Something that a user should know; the transaction that causes it writes it. `key` names the cause, so that it
    notifies once however often it is found. `data` are the values for the texts, all of which the user may know.

    Like a bid it names its auction without a foreign key, whose check would slow write-back down.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        one_of("event", Event),
        Index("ix_notifications_user_id_id", "user_id", "id"),
        Index("ix_notifications_unread", "user_id", "id", postgresql_where=text("read_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    event: Mapped[Event] = mapped_column(WordOf(Event))
    key: Mapped[str]
    auction_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    read_at: Mapped[datetime | None]


class Broadcast(Base):
    """How far a broadcast has come: to the user `last`, in the order of ids. The row goes when all are notified."""

    __tablename__ = "broadcasts"

    key: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[UUID]


class Channel(StrEnum):
    """How a notification leaves the house."""

    EMAIL = "email"
    PUSH = "push"
    """Web Push, to every browser that the user has subscribed."""


class NotificationDelivery(Outgoing, Base):
    """A notification on its way through a channel, to be sent at `due_at`."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "channel"),
        one_of("channel", Channel),
        CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name="end"),
        Index(
            "ix_notification_deliveries_due_at",
            "channel",
            "due_at",
            postgresql_where=text("sent_at IS NULL AND dead_at IS NULL"),
        ),
        Index(
            "ix_notification_deliveries_waiting",
            "user_id",
            "channel",
            postgresql_where=text("sent_at IS NULL AND dead_at IS NULL"),
        ),
        Index("ix_notification_deliveries_dead", "id", postgresql_where=text("dead_at IS NOT NULL")),
    )

    notification_id: Mapped[UUID] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    channel: Mapped[Channel] = mapped_column(WordOf(Channel))


class Digest(StrEnum):
    """How often a user wants e-mails about what is not urgent."""

    OFF = "off"
    """One by one, as things happen."""
    DAILY = "daily"


class NotificationPreferences(Base):
    """How a user wants to be notified; without a row, as the defaults here say.

    Between `quiet_from` and `quiet_until` (minutes of the day in `time_zone`) only what is about the account's security
    is sent. `channels` holds deviations from the defaults: {event: {channel: wanted}}.
    """

    __tablename__ = "notification_preferences"
    __table_args__ = (
        one_of("digest", Digest),
        CheckConstraint(
            "(quiet_from IS NULL) = (quiet_until IS NULL)"
            " AND quiet_from BETWEEN 0 AND 1439 AND quiet_until BETWEEN 0 AND 1439",
            name="quiet",
        ),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    quiet_from: Mapped[int | None] = mapped_column(SmallInteger)
    quiet_until: Mapped[int | None] = mapped_column(SmallInteger)
    time_zone: Mapped[str] = mapped_column(server_default="Asia/Seoul")
    digest: Mapped[Digest] = mapped_column(WordOf(Digest), server_default="off")
    channels: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(server_default="1", onupdate=text("version + 1"))


class PushSubscription(Base):
    """A browser that takes Web Push: where to send, and the keys to encrypt with. It goes with the log-in that has
    subscribed it; before these were noted, that was null. `failures` counts since the last success."""

    __tablename__ = "push_subscriptions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    endpoint: Mapped[str] = mapped_column(unique=True)
    p256dh: Mapped[bytes]
    auth: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    failures: Mapped[int] = mapped_column(server_default="0")


class Announcement(Base):
    """An announcement to all users from `starts_at` until `ends_at`, in Korean and English; at `told_at` it stood in
    everybody's list."""

    __tablename__ = "announcements"
    __table_args__ = (CheckConstraint("starts_at <= ends_at", name="times"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    text_ko: Mapped[str]
    text_en: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    told_at: Mapped[datetime | None]
