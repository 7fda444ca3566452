"""The tables. Amounts are bigint in minor units of the one currency; times are timestamptz in UTC.

Secret columns (`maximum`, `leader_maximum`) never leave through an API except to the bidder concerned, `reserve` only
to the seller.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    Double,
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
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
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


TRUST = (
    "(200 * (12 + stars - reviews + completed_orders) + 20 + 4 * reviews + completed_orders + 8 * no_shows)"
    " / (2 * (20 + 4 * reviews + completed_orders + 8 * no_shows))"
)
"""100 times a weighted mean, rounded: a review weighs 4 and says (stars - 1) / 4, a completed order weighs 1 and says
1, a no-show weighs 8 and says 0, and what everybody begins with weighs 20 and says 0.6."""


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

    `completed_orders`, `no_shows`, `reviews` and `stars` (the sum over the reviews that are visible) count what speaks
    for and against the person; docs/api.md explains the `trust` (0 to 100) that PostgreSQL makes of them.
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
    completed_orders: Mapped[int] = mapped_column(server_default="0")
    no_shows: Mapped[int] = mapped_column(server_default="0")
    reviews: Mapped[int] = mapped_column(server_default="0")
    stars: Mapped[int] = mapped_column(server_default="0")
    trust: Mapped[int] = mapped_column(Computed(TRUST, persisted=True))
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
    PAYOUT = "payout"
    """An order's escrow, going to the seller."""
    REFUND = "refund"
    """An order's escrow, going back to the buyer."""


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
    """What it was for: the auction, for a hold and what resolves it; the order, for a payout or refund."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class AuctionStatus(StrEnum):
    """What was decided about an auction. Whether a published one is open follows from its times and the clock."""

    DRAFT = "draft"
    PUBLISHED = "published"
    SEALED = "sealed"
    SOLD = "sold"
    UNSOLD = "unsold"


class AuctionKind(StrEnum):
    """How an auction is run, and where the truth is while it runs."""

    LIVE = "live"
    """Nationwide, in Redis."""
    NEIGHBOURHOOD = "neighbourhood"
    """Among neighbours, in PostgreSQL."""


class Condition(StrEnum):
    """How worn what is sold is, as its seller says."""

    NEW = "new"
    LIKE_NEW = "like_new"
    GOOD = "good"
    FAIR = "fair"
    FOR_PARTS = "for_parts"


class Auction(Base):
    """An auction. While a live one runs, Redis has the truth and write-back brings it here a second later.

    A neighbourhood auction is for buyers within `radius` of `cell`; Redis has a copy of it for those who watch, as it
    was after the record `mirrored_seq` (-1: none).

    `epoch` counts the loads into Redis. `seq` is the number of the last record written back; `sealed_seq` that of the
    seal, so the auction may be settled when they are equal. `increments` are [from price, increment], the first from 0.
    `ends_at` moves with soft close, at most to `latest_end`, and to the moment of a purchase. `hammer_price` is None
    when nobody won.
    """

    __tablename__ = "auctions"
    __table_args__ = (
        _one_of("status", AuctionStatus),
        CheckConstraint("buy_now_until IN ('first_bid', 'reserve_met', 'always')", name="buy_now_until"),
        CheckConstraint("opens_at <= ends_at AND ends_at <= latest_end", name="times"),
        CheckConstraint("reserve > start_price", name="reserve"),
        CheckConstraint("buy_now_price > start_price AND buy_now_price >= reserve", name="buy_now_price"),
        CheckConstraint("(buy_now_price IS NULL) = (buy_now_until IS NULL)", name="buy_now"),
        _one_of("kind", AuctionKind),
        CheckConstraint("radius IN ('near', 'around', 'wide')", name="radius"),
        CheckConstraint(
            "CASE kind WHEN 'neighbourhood' THEN num_nulls(cell, region_code, radius) = 0"
            " ELSE num_nonnulls(cell, region_code, radius) = 0 END",
            name="place",
        ),
        Index(
            "ix_auctions_unmirrored",
            "id",
            postgresql_where=text("kind = 'neighbourhood' AND status <> 'draft' AND mirrored_seq < seq"),
        ),
        Index("ix_auctions_status_ends_at_id", "status", "ends_at", "id"),
        Index("ix_auctions_seller_id_id", "seller_id", "id"),
        _one_of("condition", Condition),
        Index("ix_auctions_bids_id", "bids", "id"),
        # Not without drafts: PostgreSQL would not use what it knows of the values of an expression.
        Index("ix_auctions_asked_id", text("greatest(price, start_price)"), "id"),
        Index("ix_auctions_category_code_id", "category_code", "id"),
        Index("ix_auctions_region_code", "region_code", postgresql_ops={"region_code": "text_pattern_ops"}),
        Index("ix_auctions_cell", "cell"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    shard: Mapped[int] = mapped_column(SmallInteger)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[AuctionKind] = mapped_column(String, server_default="live")
    status: Mapped[AuctionStatus] = mapped_column(String, server_default="draft")
    region_code: Mapped[str | None] = mapped_column(ForeignKey("regions.code"))
    cell: Mapped[str | None]
    radius: Mapped[str | None]
    category_code: Mapped[str] = mapped_column(ForeignKey("categories.code"), server_default="other")
    condition: Mapped[str | None]
    title: Mapped[str]
    description: Mapped[str]
    start_price: Mapped[int]
    increments: Mapped[list[list[int]]]
    reserve: Mapped[int | None]
    buy_now_price: Mapped[int | None]
    buy_now_until: Mapped[str | None]
    opens_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    latest_end: Mapped[datetime]
    soft_close_window_ms: Mapped[int]
    soft_close_extension_ms: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    published_at: Mapped[datetime | None]
    paddle_count: Mapped[int] = mapped_column(server_default="0")
    mirrored_seq: Mapped[int] = mapped_column(server_default="-1")
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


class Category(Base):
    """What auctions are about, in a tree of two levels, from store/data. Auctions stand in those without children.

    Categories with the same parent are shown by `position`.
    """

    __tablename__ = "categories"

    code: Mapped[str] = mapped_column(primary_key=True)
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("categories.code"))
    name: Mapped[str]
    name_en: Mapped[str]
    position: Mapped[int]


class SearchWords(Base):
    """What the full-text search finds an auction by, made by `market.words` of its title and description.

    Not a column of the auction: each bid changes its row, and would write all these words into the index once more.
    """

    __tablename__ = "search_words"
    __table_args__ = (Index("ix_search_words_words", "words", postgresql_using="gin"),)

    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id", ondelete="CASCADE"), primary_key=True)
    words: Mapped[str] = mapped_column(TSVECTOR)


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
    """An accepted bid or purchase: of a live auction written back from the log, else by its own transaction.
    Append-only. `price` and `leader_*` are those after it.

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
    bought: Mapped[bool] = mapped_column(server_default="false")


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
    """Where an order stands. `market.orders.TRANSITIONS` says how it gets from one to the other."""

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


class Delivery(StrEnum):
    """How the goods of an order change hands."""

    HANDOVER = "handover"
    SHIPPING = "shipping"


class Order(Base):
    """A sale: what the hammer made of an auction. One per sold auction.

    At `due_at` it moves on by itself, unless that is null. `proposal` and `agreement` are numbers of `handovers`: the
    one that waits for an answer, and the one that holds. `absent_id` is who is said not to have come. Messages are
    numbered from 1 to `messages`; each side has read up to its number.
    """

    __tablename__ = "orders"
    __table_args__ = (
        _one_of("state", OrderState),
        _one_of("delivery", Delivery),
        CheckConstraint("hammer_price > 0", name="hammer_price"),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (state IN ('completed', 'refunded', 'cancelled'))", name="finished"
        ),
        CheckConstraint("(state IN ('agreed', 'no_show')) <= (agreement IS NOT NULL)", name="agreed"),
        Index("ix_orders_buyer_id_id", "buyer_id", "id"),
        Index("ix_orders_seller_id_id", "seller_id", "id"),
        Index("ix_orders_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"), unique=True)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    buyer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    hammer_price: Mapped[int]
    state: Mapped[OrderState] = mapped_column(String)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    due_at: Mapped[datetime | None] = mapped_column(server_default=text("now() + '7 days'::interval"))
    finished_at: Mapped[datetime | None]
    delivery: Mapped[Delivery | None] = mapped_column(String)
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
    """A step of an order: who (null: the clock) did what. Append-only."""

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
    """What one side of an order wrote to the other. Numbered from 1 for each order."""

    __tablename__ = "chat_messages"
    __table_args__ = (UniqueConstraint("order_id", "number"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"))
    number: Mapped[int]
    sender_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Review(Base):
    """What one side of a completed order says about the other. Nobody else sees it, or its stars counted, before
    `visible_at`; `counted` says whether the subject's sums have it."""

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
    USER = "user"


class ReportReason(StrEnum):
    """What is wrong with it."""

    SPAM = "spam"
    FRAUD = "fraud"
    PROHIBITED = "prohibited"
    OFFENSIVE = "offensive"
    OTHER = "other"


class Report(Base):
    """What a user wants a moderator to look at; `subject_id` is the id of the auction, message or user."""

    __tablename__ = "reports"
    __table_args__ = (
        UniqueConstraint("reporter_id", "kind", "subject_id"),
        _one_of("kind", ReportKind),
        _one_of("reason", ReportReason),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    reporter_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[ReportKind] = mapped_column(String)
    subject_id: Mapped[UUID]
    reason: Mapped[ReportReason] = mapped_column(String)
    text: Mapped[str]
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


class PhotoStatus(StrEnum):
    """What has become of a photo."""

    PENDING = "pending"
    """Announced; its file is on its way."""
    PROCESSING = "processing"
    """Sent; its sizes are being made."""
    READY = "ready"
    REFUSED = "refused"
    DELETED = "deleted"
    """Nobody sees it any more; the row goes when its files are gone."""


class Photo(Base):
    """A photo of an auction, or an avatar: a user's is the one that is ready. Its files are named by `token`, which
    nobody can guess.

    `size` is what counts for the owner's quota: the bytes that were announced, then those that are stored. While it is
    processing, `due_at` is when a worker may take it.
    """

    __tablename__ = "photos"
    __table_args__ = (
        _one_of("status", PhotoStatus),
        CheckConstraint("size > 0", name="size"),
        CheckConstraint("(status = 'ready') <= (width > 0 AND height > 0)", name="ready"),
        CheckConstraint("(status = 'refused') <= (problem IS NOT NULL)", name="refused"),
        CheckConstraint("is_avatar <= (auction_id IS NULL)", name="avatar"),
        Index("ix_photos_auction_id_position", "auction_id", "position"),
        Index(
            "uq_photos_avatar",
            "owner_id",
            unique=True,
            postgresql_where=text("is_avatar AND status = 'ready'"),
        ),
        Index("ix_photos_due_at", "due_at", postgresql_where=text("status = 'processing'")),
        Index(
            "ix_photos_leaving",
            "created_at",
            postgresql_where=text("status IN ('pending', 'refused', 'deleted')"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID | None] = mapped_column(ForeignKey("auctions.id", ondelete="SET NULL"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    is_avatar: Mapped[bool] = mapped_column(server_default="false")
    token: Mapped[str] = mapped_column(unique=True)
    status: Mapped[PhotoStatus] = mapped_column(String, server_default="pending")
    problem: Mapped[str | None]
    position: Mapped[int]
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Region(Base):
    """A place in the tree 시/도 -> 시/군/구 -> 읍/면/동, from store/data. Its code begins with that of its parent.

    `full_name` and `full_name_en` begin with the names of the ancestors. `cell` is the H3 cell (resolution 5) of the
    point in its middle, by which the regions around a position are found.
    """

    __tablename__ = "regions"

    code: Mapped[str] = mapped_column(primary_key=True)
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("regions.code"), index=True)
    name: Mapped[str]
    name_en: Mapped[str]
    full_name: Mapped[str]
    full_name_en: Mapped[str]
    latitude: Mapped[float] = mapped_column(Double)
    longitude: Mapped[float] = mapped_column(Double)
    cell: Mapped[str] = mapped_column(index=True)


class Neighbourhood(Base):
    """Where a user was at `verified_at`: a region and a coarse H3 cell (resolution 7). The position is not kept."""

    __tablename__ = "neighbourhoods"
    __table_args__ = (UniqueConstraint("user_id", "region_code"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    region_code: Mapped[str] = mapped_column(ForeignKey("regions.code"))
    cell: Mapped[str]
    verified_at: Mapped[datetime]
    expires_at: Mapped[datetime]
