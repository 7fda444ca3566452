"""How the platform does, in numbers: those of now, and series of them for charts.

What the tables know is counted from them whenever it is asked. What only Redis or a moment knows is sampled each minute
into `platform_samples`.
"""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Function, Select, cast, delete, func, select
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from market.errors import GeneralRefusal, Refusal
from market.money import ledger
from market.times import clock, from_ms, to_ms
from store.models import (
    AccountEmail,
    Auction,
    AuctionStatus,
    Bid,
    NotificationDelivery,
    Order,
    PlatformSample,
)

KEEP = timedelta(days=30)
"""How long samples are kept."""
MAX_POINTS = 1_500
"""Of a series."""
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
FRESH = 3 * MINUTE
"""An older sample is not what is now: nobody measures any more."""
OVERDUE = timedelta(seconds=10)
"""What is not sealed so long after its end is late. The seal of a live auction comes here a second later."""


class Name(StrEnum):
    """Every figure. Amounts in minor units."""

    SALES = "sales"
    """Orders made."""
    SALES_AMOUNT = "sales_amount"
    """Their hammer prices together."""
    CONVERSION = "conversion"
    """How many of 10,000 auctions that ended were sold. Those that were cancelled do not count."""
    BIDS = "bids"
    """Accepted bids."""
    LATENESS = "lateness"
    """The longest time from the end of an auction to its seal, in ms."""
    VIEWERS = "viewers"
    """Live sockets that watch an auction, at the most."""
    WRITE_BACK_LAG = "write_back_lag"
    """The longest time since a successful write-back, in ms."""
    LATE_REJECTIONS = "late_rejections"
    """Bids on live sockets that came after the end."""
    NOTIFICATION_BACKLOG = "notification_backlog"
    """E-mails and notifications that are due and not sent, at the most."""
    LEDGER_SUM = "ledger_sum"
    """The sum over all accounts, at the farthest from zero. It is zero."""


class SeriesStep(StrEnum):
    """How much time a point of a series stands for. Days are those of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


_STEPS = {SeriesStep.MINUTE: MINUTE, SeriesStep.HOUR: timedelta(hours=1), SeriesStep.DAY: DAY}

_lateness = func.extract("epoch", Auction.sealed_at - Auction.ends_at) * 1000
_ended = func.count().filter(~Auction.cancelled)
_COUNTED: Mapping[Name, tuple[InstrumentedAttribute[Any], ColumnElement[Any]]] = {
    Name.SALES: (Order.created_at, func.count()),
    Name.SALES_AMOUNT: (Order.created_at, func.sum(Order.hammer_price)),
    Name.CONVERSION: (Auction.sealed_at, func.count(Auction.hammer_price) * 10_000 // func.nullif(_ended, 0)),
    Name.BIDS: (Bid.at, func.count()),
    Name.LATENESS: (Auction.sealed_at, func.max(_lateness).filter(~Auction.cancelled)),
}
"""What tables know: of when, and what of it."""

_SAMPLED: Mapping[Name, Function[Any]] = {
    Name.VIEWERS: func.max(PlatformSample.value),
    Name.WRITE_BACK_LAG: func.max(PlatformSample.value),
    Name.LATE_REJECTIONS: func.sum(PlatformSample.value),
    Name.NOTIFICATION_BACKLOG: func.max(PlatformSample.value),
    Name.LEDGER_SUM: func.max(func.abs(PlatformSample.value)),
}
"""What is sampled, and what the samples of a step make together."""


class PlatformStats(msgspec.Struct, frozen=True):
    """The stats at `at` (ms), as in `Name`: of the last 24 hours; `bids_per_minute` of the last minute; `viewers`,
    `write_back_lag` and `notification_backlog` of the last sample, None unless that is `FRESH`. `conversion` is None
    when nothing has ended, `lateness` too; auctions that are `OVERDUE` count for that as if they ended now."""

    at: int
    sales: int
    sales_amount: int
    conversion: int | None
    lateness: int | None
    bids_per_minute: int
    late_rejections: int
    viewers: int | None
    write_back_lag: int | None
    notification_backlog: int | None
    ledger_sum: int


class Point(msgspec.Struct, frozen=True):
    """The value of the time that begins at `at` (ms)."""

    at: int
    value: int


class Series(msgspec.Struct, frozen=True):
    """A figure through time. Where nothing is known there is no point: of what is counted, it is zero there."""

    name: Name
    step: SeriesStep
    items: list[Point]


def now(session: Session) -> PlatformStats:
    """The stats of this moment."""
    at = clock(session)
    # Not the bids: those of a day are too many to count whenever somebody looks.
    of_a_day = (Name.SALES, Name.SALES_AMOUNT, Name.CONVERSION, Name.LATENESS)
    day = {name: session.scalar(_counted(name).where(_COUNTED[name][0] > at - DAY)) for name in of_a_day}
    last = dict(
        session.execute(
            select(PlatformSample.name, PlatformSample.value)
            .where(PlatformSample.at > at - FRESH)
            .ext(distinct_on(PlatformSample.name))
            .order_by(PlatformSample.name, PlatformSample.at.desc())
        ).all()
    )
    overdue = select(func.min(Auction.ends_at)).where(
        Auction.status == AuctionStatus.PUBLISHED, Auction.ends_at < at - OVERDUE
    )
    longest_overdue = session.scalar(overdue)
    lateness = day[Name.LATENESS]
    if longest_overdue is not None:
        lateness = max(lateness or 0, to_ms(at) - to_ms(longest_overdue))
    late = select(_whole(_SAMPLED[Name.LATE_REJECTIONS])).where(
        PlatformSample.name == Name.LATE_REJECTIONS, PlatformSample.at > at - DAY
    )
    return PlatformStats(
        at=to_ms(at),
        sales=day[Name.SALES] or 0,
        sales_amount=day[Name.SALES_AMOUNT] or 0,
        conversion=day[Name.CONVERSION],
        lateness=lateness,
        bids_per_minute=session.scalar(_counted(Name.BIDS).where(Bid.at > at - MINUTE)) or 0,
        late_rejections=session.scalar(late) or 0,
        viewers=last.get(Name.VIEWERS),
        write_back_lag=last.get(Name.WRITE_BACK_LAG),
        notification_backlog=last.get(Name.NOTIFICATION_BACKLOG),
        ledger_sum=ledger.trial_balance(session),
    )


def series(session: Session, name: Name, since: int, until: int, step: SeriesStep) -> Series:
    """A figure from `since` to before `until` (ms). Refuses with `invalid_query` if that has no points, or too many."""
    width = _STEPS[step]
    if not 0 < until - since <= MAX_POINTS * width // timedelta(milliseconds=1):
        detail = f"must be after `since`, by at most {MAX_POINTS} steps"
        raise Refusal(GeneralRefusal.INVALID_QUERY, detail, errors=[{"field": "until", "detail": detail}])
    if name in _COUNTED:
        time, value = _COUNTED[name]
        where = []
    else:
        time, value = PlatformSample.at, _SAMPLED[name]
        where = [PlatformSample.name == name]
    at = func.date_bin(width, time, from_ms(0)).label("at")
    rows = session.execute(
        select(at, _whole(value))
        .where(*where, time >= from_ms(since), time < from_ms(until))
        .group_by(at)
        .having(value.is_not(None))
        .order_by(at)
    )
    return Series(name, step, [Point(to_ms(begin), value) for begin, value in rows])


def sample(session: Session, viewers: int, write_back_lag: int | None, late_rejections: int) -> None:
    """Keep what was measured at this moment, together with what PostgreSQL knows of it. Nothing is kept of what is
    None, unknown."""
    waiting = [
        session.scalars(
            select(func.count()).where(
                table.sent_at.is_(None), table.dead_at.is_(None), table.due_at <= func.now()
            )
        ).one()
        for table in (AccountEmail, NotificationDelivery)
    ]
    values = {
        Name.VIEWERS: viewers,
        Name.WRITE_BACK_LAG: write_back_lag,
        Name.LATE_REJECTIONS: late_rejections,
        Name.NOTIFICATION_BACKLOG: sum(waiting),
        Name.LEDGER_SUM: ledger.trial_balance(session),
    }
    at = clock(session)
    session.execute(
        insert(PlatformSample),
        [{"name": name, "at": at, "value": value} for name, value in values.items() if value is not None],
    )


def forget_old(session: Session) -> None:
    """Delete the samples that nobody looks at any more."""
    session.execute(delete(PlatformSample).where(PlatformSample.at < func.now() - KEEP))


def _counted(name: Name) -> Select[int]:
    return select(_whole(_COUNTED[name][1]))


def _whole(value: ColumnElement[Any]) -> ColumnElement[int]:
    return cast(value, BigInteger)
