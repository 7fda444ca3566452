"""The tables. Amounts are bigint in minor units of the one currency; times are timestamptz in UTC.

Secret columns (`maximum`, `leader_maximum`) never leave through an API except to the bidder concerned.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from store.ids import new_id


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        int: BigInteger,
        str: Text,
        bytes: LargeBinary,
        dict[str, Any]: JSONB,
        list[list[int]]: JSONB,
    }


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


class Role(StrEnum):
    """What a user may do. Everybody buys and sells; the others also look after the platform."""

    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


class Language(StrEnum):
    """What a user wants to be written in."""

    ENGLISH = "en"
    KOREAN = "ko"


class User(Base):
    """A person who buys and sells. `email` is stored in lower case.

    `version` grows by every change. The row of a deleted account stays, without anything personal, because bids, orders
    and the ledger refer to it.
    """

    __tablename__ = "users"
    __table_args__ = (_one_of("role", Role), _one_of("language", Language))

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    display_name: Mapped[str]
    bio: Mapped[str] = mapped_column(server_default="")
    role: Mapped[Role] = mapped_column(String, server_default="user")
    banned_at: Mapped[datetime | None]
    language: Mapped[Language] = mapped_column(String, server_default="en")
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    version: Mapped[int] = mapped_column(server_default="1", onupdate=text("version + 1"))
    deleted_at: Mapped[datetime | None]


class Session(Base):
    """A log-in. Of its refresh tokens only SHA-256 are stored: of the family, the current part and the one before.

    The next part is the HMAC of the current one under `refresh_key`, which alone is worth nothing. `expires_at` moves
    with each use, at most to `ends_at`. `told_at` is when the sockets were told of a revocation.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("expires_at <= ends_at", name="times"),
        Index(
            "ix_sessions_untold",
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL AND told_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    family_hash: Mapped[bytes] = mapped_column(unique=True)
    refresh_hash: Mapped[bytes]
    previous_hash: Mapped[bytes | None]
    refresh_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    refreshed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ends_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]


class MailKind(StrEnum):
    """What a mail is about."""

    VERIFY = "verify"
    RESET = "reset"
    ADDRESS_TAKEN = "address_taken"
    """Somebody has tried to register with the address of an account."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105


class Mail(Base):
    """A mail to be sent at `due_at`, written by the transaction that causes it.

    It has neither text nor secret, and its `address` may be nobody's: whom it is for is found when it is sent.
    `sent_at` or `dead_at` (given up) ends it.
    """

    __tablename__ = "mails"
    __table_args__ = (
        _one_of("kind", MailKind),
        CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name="end"),
        Index("ix_mails_due_at", "due_at", postgresql_where=text("sent_at IS NULL AND dead_at IS NULL")),
        Index("ix_mails_address_sent_at", "address", "sent_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    address: Mapped[str]
    kind: Mapped[MailKind] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    sent_at: Mapped[datetime | None]
    dead_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class Purpose(StrEnum):
    """What the token in a mail is good for."""

    VERIFY = "verify"
    RESET = "reset"


class MailToken(Base):
    """The SHA-256 of the token in the last mail of its purpose: a newer one voids it, and its use deletes it."""

    __tablename__ = "mail_tokens"
    __table_args__ = (_one_of("purpose", Purpose),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    purpose: Mapped[Purpose] = mapped_column(String, primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]


class SecondFactor(Base):
    """What a user's log-in takes beside the password, once it is confirmed: codes made from a secret (TOTP).

    The secret is sealed by `store.vault` under the key `kid`. `last_step` is the time step of the last code that was
    accepted; `failures` counts the wrong ones since then, and none is looked at before `blocked_until`.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    kid: Mapped[str]
    sealed_secret: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    blocked_until: Mapped[datetime | None]


class RecoveryCode(Base):
    """The SHA-256 of a code for whoever has lost the second factor. It is deleted by its use."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("second_factors.user_id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)


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


class Account(Base):
    """One balance. Changed only by `market.ledger`, under row locks taken in id order."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("kind", "owner_id", postgresql_nulls_not_distinct=True),
        CheckConstraint("balance >= 0 OR kind = 'provider'", name="balance"),
        _one_of("kind", AccountKind),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[AccountKind] = mapped_column(String)
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


class Transfer(Base):
    """Money moved once from `debit_account` to `credit_account`. Append-only: grants and a trigger forbid changes.

    A transfer of kind hold is pending until a capture or release names it in `resolves`, which is unique: a hold is
    resolved once. The id is made by whoever asks for the transfer, so that asking again is harmless.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount"),
        CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
        CheckConstraint("(resolves IS NOT NULL) = (kind IN ('capture', 'release'))", name="resolves"),
        _one_of("kind", TransferKind),
        Index("ix_transfers_subject_id", "subject_id"),
        Index("ix_transfers_debit_account_id_created_at", "debit_account_id", "created_at"),
        Index("ix_transfers_credit_account_id_created_at", "credit_account_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[TransferKind] = mapped_column(String)
    debit_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    credit_account_id: Mapped[UUID] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    resolves: Mapped[UUID | None] = mapped_column(ForeignKey("transfers.id"), unique=True)
    subject_id: Mapped[UUID | None]
    """What it was for: the auction, for a hold and what resolves it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AuctionStatus(StrEnum):
    """What was decided about an auction. Whether a published one is open follows from its times and the clock."""

    DRAFT = "draft"
    PUBLISHED = "published"
    SEALED = "sealed"
    SOLD = "sold"
    UNSOLD = "unsold"


class Auction(Base):
    """A live auction. While it runs, Redis has the truth and write-back brings it here a second later.

    `epoch` counts the loads into Redis. `seq` is the number of the last record written back; `sealed_seq` that of the
    seal, so the auction may be settled when they are equal. `increments` are [from price, increment], the first from 0.
    `ends_at` moves with soft close, at most to `latest_end`.
    """

    __tablename__ = "auctions"
    __table_args__ = (
        _one_of("status", AuctionStatus),
        CheckConstraint("opens_at < ends_at AND ends_at <= latest_end", name="times"),
        Index("ix_auctions_status_ends_at_id", "status", "ends_at", "id"),
        Index("ix_auctions_seller_id_id", "seller_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    shard: Mapped[int] = mapped_column(SmallInteger)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    status: Mapped[AuctionStatus] = mapped_column(String, server_default="draft")
    title: Mapped[str]
    description: Mapped[str]
    start_price: Mapped[int]
    increments: Mapped[list[list[int]]]
    opens_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    latest_end: Mapped[datetime]
    soft_close_window_ms: Mapped[int]
    soft_close_extension_ms: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_at: Mapped[datetime | None]
    paddle_count: Mapped[int] = mapped_column(server_default="0")
    epoch: Mapped[int] = mapped_column(server_default="0")
    seq: Mapped[int] = mapped_column(server_default="0")
    price: Mapped[int] = mapped_column(server_default="0")
    leader_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    leader_paddle: Mapped[int] = mapped_column(server_default="0")
    leader_maximum: Mapped[int] = mapped_column(server_default="0")
    bids: Mapped[int] = mapped_column(server_default="0")
    sealed_at: Mapped[datetime | None]
    sealed_seq: Mapped[int | None]
    hammer_price: Mapped[int | None]
    settled_at: Mapped[datetime | None]


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
        _one_of("status", PaddleStatus),
        Index(
            "ix_paddles_unsynced",
            "updated_at",
            postgresql_where=text("status = 'returning' OR (status = 'active' AND synced_version < version)"),
        ),
        Index("ix_paddles_bidder_id_id", "bidder_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"))
    bidder_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    number: Mapped[int]
    limit: Mapped[int]
    hold_id: Mapped[UUID] = mapped_column(ForeignKey("transfers.id"))
    status: Mapped[PaddleStatus] = mapped_column(String)
    version: Mapped[int]
    synced_version: Mapped[int] = mapped_column(server_default="0")
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Bid(Base):
    """An accepted bid, written back from the log. Append-only. `price` and `leader_*` are those after it.

    No foreign keys: they would lock rows of users and auctions for every bid, and the log is already proven.
    """

    __tablename__ = "bids"
    __table_args__ = (Index("ix_bids_bidder_id_auction_id_seq", "bidder_id", "auction_id", "seq"),)

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


class LogPosition(Base):
    """How far the log stream of a shard is in PostgreSQL: the last stream id, committed with its records."""

    __tablename__ = "log_positions"

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    position: Mapped[str] = mapped_column(server_default="0-0")


class WriteBackAlarm(Base):
    """A record that write-back could not accept: it contradicts what is stored, or leaves a gap before it.

    An auction with an alarm is not settled until a person has looked.
    """

    __tablename__ = "write_back_alarms"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID | None] = mapped_column(index=True)
    reason: Mapped[str]
    record: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OrderState(StrEnum):
    """Where an order stands."""

    IN_ESCROW = "in_escrow"
    """Paid: the hammer price lies in the order's escrow account."""


class Order(Base):
    """A sale: what the hammer made of an auction. One per sold auction."""

    __tablename__ = "orders"
    __table_args__ = (
        _one_of("state", OrderState),
        CheckConstraint("hammer_price > 0", name="hammer_price"),
        Index("ix_orders_buyer_id_id", "buyer_id", "id"),
        Index("ix_orders_seller_id_id", "seller_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"), unique=True)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    buyer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    hammer_price: Mapped[int]
    state: Mapped[OrderState] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    """What a request was answered that its user named by a key, so that it is done once however often it is sent."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
