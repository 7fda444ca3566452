"""Auctions, what they are found by, and who bids in them.

Secret columns (`maximum`, `leader_maximum`) never leave through an API except to the bidder concerned, `reserve` only
to the seller.
"""

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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, WordOf, one_of


class AuctionStatus(StrEnum):
    """What was decided about an auction. Whether a published one is open follows from its times and the clock."""

    DRAFT = "draft"
    PUBLISHED = "published"
    SEALED = "sealed"
    SOLD = "sold"
    UNSOLD = "unsold"
    CANCELLED = "cancelled"


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


class DeliveryMethod(StrEnum):
    """How the goods of an order change hands."""

    HANDOVER = "handover"
    SHIPPING = "shipping"


class Auction(Base):
    """An auction. While a live one runs, Redis has the truth and write-back brings it here a second later.

    A neighbourhood auction is for buyers within `radius` of `cell`; Redis has a copy of it for those who watch, as it
    was after the record `mirrored_seq` (-1: none).

    `epoch` counts the loads into Redis. `seq` is the number of the last record written back; `sealed_seq` that of the
    seal, so the auction may be settled when they are equal. `increments` are [from price, increment], the first from 0;
    a draft may take them from the platform's `increment_table` of this name, which means nothing once it is published.
    `ends_at` moves with soft close, at most to `latest_end`, which is `soft_close_cap_ms` after the planned end, and to
    the moment of a purchase; an `Extension` moves both. `hammer_price` is None when nobody won. `cancelled` says what
    kind of seal it was; `cancel_reason` means nothing unless it was. `fee_*` are the seller's fee as it was when the
    auction was published. Since `hidden_at` only those who take part and moderators find it.

    `opened_told`: who is interested was told that it has opened; `ending_told_for` is the end that they were told is
    near; `extended_told`: who had been outbid was told that a late bid has moved it.

    `version` counts the seller's edits, and nothing else. `addenda` are {"at": ms, "text"}, oldest first. An auction
    that was listed again after this one has its id as `relisted_from`.
    """

    __tablename__ = "auctions"
    __table_args__ = (
        one_of("status", AuctionStatus),
        CheckConstraint("buy_now_until IN ('first_bid', 'reserve_met', 'always')", name="buy_now_until"),
        CheckConstraint("increment_table IS NULL OR status = 'draft'", name="increment_table"),
        CheckConstraint("opens_at <= ends_at AND ends_at <= latest_end", name="times"),
        CheckConstraint("reserve > start_price", name="reserve"),
        CheckConstraint("buy_now_price > start_price AND buy_now_price >= reserve", name="buy_now_price"),
        CheckConstraint("(buy_now_price IS NULL) = (buy_now_until IS NULL)", name="buy_now"),
        one_of("kind", AuctionKind),
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
        # Not simply by the end: PostgreSQL would look in it for what is due, among all that is over.
        Index(
            "ix_auctions_copies",
            text("greatest(ends_at, sealed_at)"),
            "id",
            postgresql_where=text("kind = 'neighbourhood'"),
        ),
        Index("ix_auctions_status_ends_at_id", "status", "ends_at", "id"),
        Index(
            "ix_auctions_opening",
            "opens_at",
            postgresql_where=text("status = 'published' AND NOT opened_told"),
        ),
        Index("ix_auctions_seller_id_id", "seller_id", "id"),
        one_of("condition", Condition),
        CheckConstraint(
            "deliveries <@ ARRAY['handover', 'shipping'] AND cardinality(deliveries) > 0", name="deliveries"
        ),
        Index(
            "ix_auctions_relisted_from",
            "relisted_from",
            postgresql_where=text("relisted_from IS NOT NULL"),
        ),
        Index("ix_auctions_bids_id", "bids", "id"),
        # Not without drafts: PostgreSQL would not use what it knows of the values of an expression.
        Index("ix_auctions_asked_id", text("greatest(price, start_price)"), "id"),
        Index("ix_auctions_category_code_id", "category_code", "id"),
        Index("ix_auctions_region_code", "region_code", postgresql_ops={"region_code": "text_pattern_ops"}),
        Index("ix_auctions_cell", "cell"),
        Index("ix_auctions_sealed_at", "sealed_at", postgresql_where=text("sealed_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    shard: Mapped[int] = mapped_column(SmallInteger)
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[AuctionKind] = mapped_column(WordOf(AuctionKind), server_default="live")
    status: Mapped[AuctionStatus] = mapped_column(WordOf(AuctionStatus), server_default="draft")
    region_code: Mapped[str | None] = mapped_column(ForeignKey("regions.code"))
    cell: Mapped[str | None]
    radius: Mapped[str | None]
    category_code: Mapped[str] = mapped_column(ForeignKey("categories.code"), server_default="other")
    condition: Mapped[Condition | None] = mapped_column(WordOf(Condition))
    deliveries: Mapped[list[DeliveryMethod]] = mapped_column(
        ARRAY(WordOf(DeliveryMethod)), server_default="{handover,shipping}"
    )
    relisted_from: Mapped[UUID | None] = mapped_column(ForeignKey("auctions.id"))
    version: Mapped[int] = mapped_column(server_default="1")
    title: Mapped[str]
    description: Mapped[str]
    addenda: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    start_price: Mapped[int]
    increments: Mapped[list[list[int]]]
    increment_table: Mapped[str | None]
    reserve: Mapped[int | None]
    buy_now_price: Mapped[int | None]
    buy_now_until: Mapped[str | None]
    opens_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    latest_end: Mapped[datetime]
    soft_close_window_ms: Mapped[int]
    soft_close_extension_ms: Mapped[int]
    soft_close_cap_ms: Mapped[int] = mapped_column(server_default="0")
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
    fee_basis_points: Mapped[int] = mapped_column(server_default="0")
    fee_floor: Mapped[int] = mapped_column(server_default="0")
    fee_cap: Mapped[int | None]
    hidden_at: Mapped[datetime | None]
    cancelled: Mapped[bool] = mapped_column(server_default="false")
    cancel_reason: Mapped[str | None]
    opened_told: Mapped[bool] = mapped_column(server_default="false")
    ending_told_for: Mapped[datetime | None]
    extended_told: Mapped[bool] = mapped_column(server_default="false")


class Category(Base):
    """What auctions are about, in a tree of two levels, from store/data. Auctions stand in those without children.

    Categories with the same parent are shown by `position`. A retired one takes no new auctions.
    """

    __tablename__ = "categories"

    code: Mapped[str] = mapped_column(primary_key=True)
    parent_code: Mapped[str | None] = mapped_column(ForeignKey("categories.code"))
    name: Mapped[str]
    name_en: Mapped[str]
    position: Mapped[int]
    retired_at: Mapped[datetime | None]


class SearchWords(Base):
    """What the full-text search finds an auction by, made by `market.listings.search_index` of its title and
    description.

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
    is null until all who had bid before were told. Append-only but for that."""

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
