"""Orders: their way from the hammer to the reviews."""

from datetime import datetime
from enum import StrEnum
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
from store.models.base import Base, WordOf, one_of
from store.models.listings import DeliveryMethod


class OrderState(StrEnum):
    """Where an order stands. `market.orders.orders.TRANSITIONS` says how it gets from one to the other."""

    IN_ESCROW = "in_escrow"
    """Paid: the hammer price lies in the order's escrow account."""
    AGREED = "agreed"
    """The two will meet at a place and time."""
    NO_SHOW = "no_show"
    """One says that the other did not come."""
    SHIPPED = "shipped"
    PROBLEM = "problem"
    """The two do not agree. The money stays where it is until they do, or a moderator has decided."""
    COMPLETED = "completed"
    REFUNDED = "refunded"
    CANCELLED = "cancelled"


class Order(Base):
    """A sale: what the hammer made of an auction. One per sold auction.

    Of the hammer price the platform keeps the `fee` when the seller is paid. At `due_at` it moves on by itself, unless
    that is null. `proposal` and `agreement` are numbers of `handovers`: the one that waits for an answer, and the one
    that holds, whose code was tried `code_tries` times. `absent_id` is who is said not to have come. Messages are
    numbered from 1 to `messages`; each side has read up to its number.
    """

    __tablename__ = "orders"
    __table_args__ = (
        one_of("state", OrderState),
        one_of("delivery", DeliveryMethod),
        CheckConstraint("hammer_price > 0", name="hammer_price"),
        CheckConstraint("fee BETWEEN 0 AND hammer_price", name="fee"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('completed', 'refunded', 'cancelled'))", name="finished"
        ),
        CheckConstraint("(state IN ('agreed', 'no_show')) <= (agreement IS NOT NULL)", name="agreed"),
        Index("ix_orders_buyer_id_id", "buyer_id", "id"),
        Index("ix_orders_seller_id_id", "seller_id", "id"),
        Index("ix_orders_created_at", "created_at"),
        Index("ix_orders_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_orders_problem", "id", postgresql_where=text("state = 'problem'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"), unique=True)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    buyer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    hammer_price: Mapped[int]
    fee: Mapped[int] = mapped_column(server_default="0")
    state: Mapped[OrderState] = mapped_column(WordOf(OrderState))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime | None] = mapped_column(server_default=text("now() + '7 days'::interval"))
    finished_at: Mapped[datetime | None]
    delivery: Mapped[DeliveryMethod | None] = mapped_column(WordOf(DeliveryMethod))
    proposal: Mapped[int | None]
    agreement: Mapped[int | None]
    code_tries: Mapped[int] = mapped_column(server_default="0")
    code_tried_at: Mapped[datetime | None]
    absent_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    carrier: Mapped[str | None]
    tracking_number: Mapped[str | None]
    problem: Mapped[str | None]
    messages: Mapped[int] = mapped_column(server_default="0")
    buyer_read: Mapped[int] = mapped_column(server_default="0")
    seller_read: Mapped[int] = mapped_column(server_default="0")


class OrderEvent(Base):
    """A step of an order: who (a party, a moderator; null: the clock) did what. Append-only."""

    __tablename__ = "order_events"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str]
    from_state: Mapped[str]
    to_state: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Handover(Base):
    """A place and time to meet that one side of an order has proposed. Numbered from 1 for each order."""

    __tablename__ = "handovers"

    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    proposer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    place: Mapped[str]
    meet_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ChatMessage(Base):
    """What one side of an order wrote to the other. Numbered from 1 for each order. Since `hidden_at` nobody but
    moderators reads it. When the sender's account is deleted it is `sender_gone`, and its text is emptied later:
    PostgreSQL allows no other change of that."""

    __tablename__ = "chat_messages"
    __table_args__ = (
        UniqueConstraint("order_id", "number"),
        Index("ix_chat_messages_gone", "order_id", postgresql_where=text("sender_gone AND text <> ''")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    number: Mapped[int]
    sender_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sender_gone: Mapped[bool] = mapped_column(server_default="false")
    hidden_at: Mapped[datetime | None]


class Review(Base):
    """What one side of a completed order says about the other. Nobody else sees it, or its stars counted, before
    `visible_at`; `counted` says whether the subject's sums have it. One that is hidden by moderators does not count."""

    __tablename__ = "reviews"
    __table_args__ = (
        UniqueConstraint("order_id", "author_id"),
        CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
        Index("ix_reviews_subject_id_id", "subject_id", "id"),
        Index("ix_reviews_uncounted", "visible_at", postgresql_where=text("NOT counted")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    author_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    stars: Mapped[int] = mapped_column(SmallInteger)
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    visible_at: Mapped[datetime]
    counted: Mapped[bool] = mapped_column(server_default="false")
    hidden_at: Mapped[datetime | None]
