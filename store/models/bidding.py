"""Paddles, bids and extensions, and how far write-back has come.

`maximum` and `leader_maximum` are secret: they never leave through an API except to the bidder concerned.
"""

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


class PaddleStatus(StrEnum):
    """Where a paddle and the money behind it stand."""

    ACTIVE = "active"
    RETURNING = "returning"
    """Being given back: refused to the scripts first, then the hold is released."""
    RETURNED = "returned"
    CAPTURED = "captured"
    RELEASED = "released"


class Paddle(Base):
    """The right to bid up to `limit` in one auction, backed by the hold `hold_id`.

    `version` grows by every change; `synced_version` is the last one that Redis has confirmed.
    """

    __tablename__ = "paddles"
    __table_args__ = (
        UniqueConstraint("auction_id", "bidder_id"),
        UniqueConstraint("auction_id", "number"),
        CheckConstraint('"limit" > 0', name="limit"),
        one_of("status", PaddleStatus),
        Index(
            "ix_paddles_unsynced",
            "updated_at",
            postgresql_where=text("status = 'returning' OR (status = 'active' AND synced_version < version)"),
        ),
        Index("ix_paddles_bidder_id_id", "bidder_id", "id"),
        Index("ix_paddles_updated_at", "updated_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"))
    bidder_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    number: Mapped[int]
    limit: Mapped[int]
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("transfers.id"))
    status: Mapped[PaddleStatus] = mapped_column(WordOf(PaddleStatus))
    version: Mapped[int]
    synced_version: Mapped[int] = mapped_column(server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Extension(Base):
    """The end of an auction was moved by an action of the service, once. `seq` is its number among the bids. `told_at`
    is null until all earlier bidders were notified. Append-only but for that."""

    __tablename__ = "extensions"
    __table_args__ = (
        UniqueConstraint("auction_id", "epoch", "seq"),
        Index("ix_extensions_untold", "at", postgresql_where=text("told_at IS NULL")),
    )

    auction_id: Mapped[UUID] = mapped_column(primary_key=True)
    action_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    seq: Mapped[int]
    at: Mapped[datetime]
    ends_at: Mapped[datetime]
    latest_end: Mapped[datetime]
    told_at: Mapped[datetime | None]


class Bid(Base):
    """An accepted bid or purchase: of a live auction written back from the log, else by its own transaction.
    Append-only. `price` and `leader_*` are those after it.

    No foreign keys: they would lock rows of users and auctions for every bid, and the log is already proven.
    """

    __tablename__ = "bids"
    __table_args__ = (
        Index("ix_bids_bidder_id_auction_id_seq", "bidder_id", "auction_id", "seq"),
        # They come nearly in the order of their times: such an index costs next to nothing.
        Index("ix_bids_at", "at", postgresql_using="brin"),
    )

    auction_id: Mapped[UUID] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    bidder_id: Mapped[UUID]
    paddle: Mapped[int]
    ref: Mapped[str]
    maximum: Mapped[int]
    price: Mapped[int]
    leader_id: Mapped[UUID]
    leader_paddle: Mapped[int]
    leader_maximum: Mapped[int]
    next_minimum: Mapped[int]
    ends_at: Mapped[datetime]
    extended: Mapped[bool]
    bids: Mapped[int]
    bought: Mapped[bool] = mapped_column(server_default="false")


class LogPosition(Base):
    """How far the log stream of a shard is in PostgreSQL: the last stream id, committed with its records."""

    __tablename__ = "log_positions"

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    position: Mapped[str] = mapped_column(server_default="0-0")
