"""The listings that become auctions, what they are found by, and what people ask and watch.

Secret columns (`leader_maximum`) never leave through an API except to the bidder concerned, `reserve` only to the
seller.
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
    Text,
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

    A neighbourhood auction is for buyers within `radius` of `cell`; Redis has a mirror of it for those who watch, as it
    was after the record `mirrored_seq` (-1: none).

    `epoch` counts the loads into Redis. `seq` is the number of the last record written back; `sealed_seq` that of the
    seal, so the auction may be settled when they are equal. `increments` are [from price, increment], the first from 0;
    a draft may take them from the platform's `increment_table` of this name, which means nothing once it is published.
    `ends_at` moves with soft close, at most to `latest_end`, which is `soft_close_cap_ms` after the planned end, and to
    the moment of a purchase; an `Extension` moves both. `hammer_price` is None when nobody won. `cancelled` says what
    kind of seal it was; `cancel_reason` means nothing unless it was. `fee_*` are the seller's fee as it was when the
    auction was published. Since `hidden_at` only those who take part and moderators find it.

    `opened_told`: watchers and paddle holders were notified that it has opened; `ending_told_for` is the end of which
    they were notified; `extended_told`: outbid bidders were notified that a late bid has moved it.

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
    condition: Mapped[Condition | None] = mapped_column(WordOf(Condition, Text))
    deliveries: Mapped[list[DeliveryMethod]] = mapped_column(
        ARRAY(WordOf(DeliveryMethod, Text)), server_default="{handover,shipping}"
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
        one_of("status", PhotoStatus),
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
        Index("ix_photos_orphaned", "id", postgresql_where=text("auction_id IS NULL AND NOT is_avatar")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID | None] = mapped_column(ForeignKey("auctions.id", ondelete="SET NULL"))
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    is_avatar: Mapped[bool] = mapped_column(server_default="false")
    token: Mapped[str] = mapped_column(unique=True)
    status: Mapped[PhotoStatus] = mapped_column(WordOf(PhotoStatus), server_default="pending")
    problem: Mapped[str | None]
    position: Mapped[int]
    size: Mapped[int]
    width: Mapped[int | None]
    height: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Question(Base):
    """A question about an auction of `seller_id`. `answered_at` is when the answer became what it is.

    Nobody but moderators sees what was hidden at `hidden_at`.
    """

    __tablename__ = "questions"
    __table_args__ = (
        CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="answer"),
        Index("ix_questions_auction_id_id", "auction_id", "id"),
        Index("ix_questions_asker_id_auction_id", "asker_id", "auction_id"),
        Index("ix_questions_seller_id_id", "seller_id", "id"),
        Index("ix_questions_unanswered", "seller_id", "id", postgresql_where=text("answer IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"))
    seller_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    asker_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    text: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    hidden_at: Mapped[datetime | None]


class Watch(Base):
    """A user watches an auction. The ids are in the order in which a user began to."""

    __tablename__ = "watches"
    __table_args__ = (
        UniqueConstraint("auction_id", "user_id"),
        Index("ix_watches_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    auction_id: Mapped[UUID] = mapped_column(ForeignKey("auctions.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
