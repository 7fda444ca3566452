"""Regions, and who is at home where."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    Double,
    ForeignKey,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


class Region(Base):
    """A place in the tree 시/도 -> 시/군/구 -> 읍/면/동, from store/data. Its code begins with that of its parent.

    `full_name` and `full_name_en` begin with the names of the ancestors. `cell` is the H3 cell (resolution 5) of the
    point in its middle, by which the regions around a position are found. Nobody new is at home in a retired one.
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
    retired_at: Mapped[datetime | None]


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
