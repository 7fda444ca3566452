"""Measured values, for charts."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base


class PlatformSample(Base):
    """A measured value at a moment. `market.analytics.platform_stats` knows the names and their units."""

    __tablename__ = "platform_samples"

    name: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[int]
