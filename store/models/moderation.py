"""What people report, and what looks like fraud."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, WordOf, one_of


class ReportKind(StrEnum):
    """What a report is about."""

    AUCTION = "auction"
    MESSAGE = "message"
    QUESTION = "question"
    REVIEW = "review"
    USER = "user"


class ReportReason(StrEnum):
    """What is wrong with it."""

    SPAM = "spam"
    FRAUD = "fraud"
    PROHIBITED = "prohibited"
    OFFENSIVE = "offensive"
    OTHER = "other"


class ReportOutcome(StrEnum):
    """What a moderator says about a report."""

    UPHELD = "upheld"
    DISMISSED = "dismissed"


class Report(Base):
    """What a user wants a moderator to look at; `subject_id` is the id of the auction, message, question, review or
    user. It is open until `resolved_at`."""

    __tablename__ = "reports"
    __table_args__ = (
        UniqueConstraint("reporter_id", "kind", "subject_id"),
        one_of("kind", ReportKind),
        one_of("reason", ReportReason),
        one_of("outcome", ReportOutcome),
        CheckConstraint("(resolved_at IS NULL) = (outcome IS NULL)", name="resolved"),
        Index("ix_reports_kind_subject_id_id", "kind", "subject_id", "id"),
        Index("ix_reports_open", "kind", "subject_id", "id", postgresql_where=text("resolved_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    reporter_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[ReportKind] = mapped_column(WordOf(ReportKind))
    subject_id: Mapped[UUID]
    reason: Mapped[ReportReason] = mapped_column(WordOf(ReportReason))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]
    outcome: Mapped[ReportOutcome | None] = mapped_column(WordOf(ReportOutcome))
    resolver_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))


class LogInTrace(Base):
    """From where, and with what, somebody has logged in: keyed hashes, which tell only whether two are the same."""

    __tablename__ = "log_in_traces"
    __table_args__ = (
        Index("ix_log_in_traces_address_hash_user_id", "address_hash", "user_id"),
        Index("ix_log_in_traces_device_hash_user_id", "device_hash", "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    address_hash: Mapped[bytes]
    device_hash: Mapped[bytes]
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class FraudSignalKind(StrEnum):
    """What looks like fraud. `market.moderation.fraud_signals` has the thresholds."""

    SHARED_ADDRESS = "shared_address"
    """A bidder and the seller log in from one address."""
    SHARED_DEVICE = "shared_device"
    """A bidder and the seller log in with the same device, as far as one can tell."""
    ONE_SELLER = "one_seller"
    """A bidder takes part in the auctions of one seller only."""
    HOLD_HOARDING = "hold_hoarding"
    """A bidder takes many paddles, gives them back and buys nothing."""
    NEW_ACCOUNT = "new_account"
    """A very young account leads an auction that is about to end, or has won it."""


class FraudSignal(Base):
    """Something about `user_id` that a moderator should look at, and once was looked at.

    `why` has the numbers. `other_id` is the seller and `auction_id` the auction, where there is one.
    """

    __tablename__ = "fraud_signals"
    __table_args__ = (
        one_of("kind", FraudSignalKind),
        UniqueConstraint("kind", "user_id", "other_id", "auction_id", postgresql_nulls_not_distinct=True),
        Index("ix_fraud_signals_open", "id", postgresql_where=text("reviewed_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[FraudSignalKind] = mapped_column(WordOf(FraudSignalKind))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    other_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    auction_id: Mapped[UUID | None] = mapped_column(ForeignKey("auctions.id"))
    why: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    reviewed_at: Mapped[datetime | None]
    reviewer_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
