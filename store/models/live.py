"""How far write-back has come, and what it found wrong."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    SmallInteger,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


class LogPosition(Base):
    """How far the log stream of a shard is in PostgreSQL: the last stream id, committed with its records."""

    __tablename__ = "log_positions"

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    position: Mapped[str] = mapped_column(server_default="0-0")


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
