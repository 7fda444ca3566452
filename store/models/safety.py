"""What people keep away from themselves, and tell the moderators."""

from datetime import datetime
from enum import StrEnum
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


class Block(Base):
    """`blocker_id` wants nothing to do with `blocked_id`."""

    __tablename__ = "blocks"

    blocker_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    blocked_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


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
