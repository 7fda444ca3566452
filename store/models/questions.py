"""What people ask about an auction in public, and what its seller answers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


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
