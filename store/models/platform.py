"""What those who look after the platform change and watch while it runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


class PlatformSetting(Base):
    """A setting that admins change, by name; `market.platform.settings` knows the shape of each value. Without a row
    its defaults hold. `version` grows by every change."""

    __tablename__ = "platform_settings"

    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[dict[str, Any]]
    version: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


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
