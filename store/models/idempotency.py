"""The answers that are kept for requests which may be sent again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ForeignKey,
    SmallInteger,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class IdempotencyKey(Base):
    """What a request was answered that its user named by a key, so that it is done once however often it is sent."""

    __tablename__ = "idempotency_keys"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
