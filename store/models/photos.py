"""Photos of listings and avatars."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, WordOf, one_of


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
