"""The ledger."""

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


class AccountKind(StrEnum):
    """What an account stands for. All balances together are always zero."""

    AVAILABLE = "available"
    """A user's money, free to use: for a buyer to hold, for a seller to withdraw."""
    HELD = "held"
    """A user's money behind pending holds."""
    ESCROW = "escrow"
    """An order's money between payment and hand-over; the owner is the order."""
    FEES = "fees"
    """What the platform has earned."""
    PROVIDER = "provider"
    """The payment provider: the world outside, the only account that goes below zero."""


class LedgerAccount(Base):
    """One balance. Changed only by `market.money.ledger`, under row locks taken in id order."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("kind", "owner_id", postgresql_nulls_not_distinct=True),
        CheckConstraint("balance >= 0 OR kind = 'provider'", name="balance"),
        one_of("kind", AccountKind),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[AccountKind] = mapped_column(WordOf(AccountKind))
    owner_id: Mapped[UUID | None]
    balance: Mapped[int] = mapped_column(server_default="0")


class TransferKind(StrEnum):
    """Why money moved."""

    TOP_UP = "top_up"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    EXCESS = "excess"
    """What a capture left of its hold, going back to the holder."""
    PAYOUT = "payout"
    """An order's escrow, going to the seller."""
    REFUND = "refund"
    """An order's escrow, going back to the buyer."""
    ADJUSTMENT = "adjustment"
    """What two admins have brought into a wallet, or taken out of it."""
    FEE = "fee"
    """The platform's part of an order's escrow."""


class Transfer(Base):
    """Money moved once from `debit_account` to `credit_account`. Append-only: grants and a trigger forbid changes.

    A transfer of kind hold is pending until a capture or release names it in `resolves`, which is unique: a hold is
    resolved once. The id is made by the caller that asks for the transfer, so that asking again is harmless.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
        CheckConstraint("(resolves IS NOT NULL) = (kind IN ('capture', 'release'))", name="resolves"),
        one_of("kind", TransferKind),
        Index("ix_transfers_subject_id", "subject_id"),
        Index("ix_transfers_debit_account_id_created_at", "debit_account_id", "created_at"),
        Index("ix_transfers_credit_account_id_created_at", "credit_account_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[TransferKind] = mapped_column(WordOf(TransferKind))
    debit_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    credit_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    resolves: Mapped[UUID | None] = mapped_column(ForeignKey("transfers.id"), unique=True)
    subject_id: Mapped[UUID | None]
    """What it was for: the auction, for a hold and what resolves it; the order, for a payout or refund."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


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
