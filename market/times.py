"""Times: timestamptz in PostgreSQL, integer ms since the epoch (UTC) everywhere else."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import DateTime, func, select
from sqlalchemy.orm import Session

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def to_ms(time: datetime) -> int:
    """Whole ms since the epoch, rounded down, without the errors of floating point."""
    return (time - _EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The moment `ms` after the epoch; `to_ms` gives back exactly `ms`."""
    return _EPOCH + ms * _MS


def clock(session: Session) -> datetime:
    """The time by PostgreSQL's clock, at this moment: the beginning of the transaction may be long ago."""
    return session.scalars(select(func.clock_timestamp(type_=DateTime(timezone=True)))).one()
