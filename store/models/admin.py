"""What those with a role have done, and the money that they want to move."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, WordOf, one_of


class AuditEntry(Base):
    """An action of somebody with a role, written by the transaction of the action. Append-only: grants and a trigger
    forbid changes.

    Without an `actor_id` it was the operator on the machine, and `operator` is the name of the account there. What was
    acted upon is named by its kind (`user`, `order`, ...) and id, or code. `before` and `after` have the same members,
    those that changed; null where there was nothing. Neither holds a secret.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint("(actor_id IS NULL) <> (operator IS NULL)", name="actor"),
        Index("ix_audit_log_actor_id_id", "actor_id", "id"),
        Index("ix_audit_log_subject_id_id", "subject_id", "id"),
        Index("ix_audit_log_action_id", "action", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    operator: Mapped[str | None]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    reason: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Direction(StrEnum):
    """Which way an adjustment moves the money of a wallet."""

    CREDIT = "credit"
    """From the payment provider into the wallet."""
    DEBIT = "debit"
    """Out of the wallet to the payment provider."""


class AdjustmentState(StrEnum):
    """What became of an adjustment."""

    PENDING = "pending"
    """Waits for another admin, until it expires."""
    CONFIRMED = "confirmed"
    """The money has moved, by the transfer with the id of the adjustment."""
    REJECTED = "rejected"


class Adjustment(Base):
    """Money that one admin wants to bring into a wallet or take out of it, and another one confirms.

    What was proposed never changes: the application may only set what was decided.
    """

    __tablename__ = "adjustments"
    __table_args__ = (
        one_of("direction", Direction),
        one_of("state", AdjustmentState),
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("(state = 'pending') = (decider_id IS NULL)", name="decider"),
        CheckConstraint("(decider_id IS NULL) = (decided_at IS NULL)", name="decided"),
        CheckConstraint("state <> 'confirmed' OR decider_id <> proposer_id", name="two_admins"),
        Index("ix_adjustments_state_id", "state", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    direction: Mapped[Direction] = mapped_column(WordOf(Direction))
    amount: Mapped[int]
    reason: Mapped[str]
    state: Mapped[AdjustmentState] = mapped_column(WordOf(AdjustmentState), server_default="pending")
    proposer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(server_default=text("now() + '7 days'::interval"))
    decider_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    decided_at: Mapped[datetime | None]
