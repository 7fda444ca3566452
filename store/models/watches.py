"""Which auctions people keep an eye on."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


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
