"""What those who look after the platform change and watch while it runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, func
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


class Announcement(Base):
    """What everybody is told from `starts_at` until `ends_at`, in Korean and English; at `told_at` it stood in
    everybody's list."""

    __tablename__ = "announcements"
    __table_args__ = (CheckConstraint("starts_at <= ends_at", name="times"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    text_ko: Mapped[str]
    text_en: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    told_at: Mapped[datetime | None]


class PlatformSample(Base):
    """A measured value at a moment. `market.analytics.platform_stats` knows the names and their units."""

    __tablename__ = "figures"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[int]
