"""What a seller has sold, month by month. Months are those of Korea, as in the calendars of those who sell."""

from collections import Counter
from datetime import datetime, timedelta, timezone
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, case, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.orders import orders
from market.times import clock
from store.models import Auction, AuctionStatus, Order, OrderState

ZONE = "Asia/Seoul"
_KOREA = timezone(timedelta(hours=9))
"""The same, which has no summer time: the machine needs no table of zones."""
MAX_MONTHS = 36
USUAL_MONTHS = 12


class SellerMonth(msgspec.Struct, frozen=True):
    """One month (`2026-03`) of a seller. Amounts in minor units.

    `published` counts listings by when they were published, `sold` and `unsold` by when they ended; `conversion` is the
    share of `sold` in both in percent, None without any. `completed` counts orders and `gross` sums their hammer
    prices, `refunds` and `refunded` the same of those whose money went back to the buyer, by when they were finished.
    """

    month: str
    published: int
    sold: int
    unsold: int
    conversion: int | None
    completed: int
    gross: int
    refunds: int
    refunded: int


class SellerReport(msgspec.Struct, frozen=True):
    """Every month of a time, the oldest first."""

    items: list[SellerMonth]


def of_seller(session: Session, seller_id: UUID, first: str | None, last: str | None) -> SellerReport:
    """The months from `first` to `last`; without `last` to the present one, without `first` twelve in all.

    Refuses with `invalid_query`, naming the parameter, if they are in the wrong order or more than `MAX_MONTHS`.
    """
    end = _number(clock(session).astimezone(_KOREA)) if last is None else _parsed(last)
    begin = end - USUAL_MONTHS + 1 if first is None else _parsed(first)
    if not 0 <= end - begin < MAX_MONTHS:
        detail = f"must not be after `to`; at most {MAX_MONTHS} months in all"
        raise Refusal(
            GeneralRefusal.INVALID_QUERY, f"from: {detail}", errors=[{"field": "from", "detail": detail}]
        )
    counts, sums = _counted(session, seller_id, _start(begin), _start(end + 1))
    return SellerReport([_month(_name(month), counts, sums) for month in range(begin, end + 1)])


def _counted(
    session: Session, seller_id: UUID, start: datetime, end: datetime
) -> tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]:
    """How many of which kind, and what they sum up to, by month and kind: one statement."""
    own = Auction.seller_id == seller_id
    outcome = case((Order.state == OrderState.COMPLETED, "completed"), else_="refunded")
    facts = union_all(
        select(
            Auction.published_at.label("at"), literal("published").label("kind"), literal(0).label("sum")
        ).where(own, Auction.published_at >= start, Auction.published_at < end),
        select(Auction.settled_at, Auction.status, literal(0)).where(
            own,
            Auction.status.in_([AuctionStatus.SOLD, AuctionStatus.UNSOLD]),
            Auction.settled_at >= start,
            Auction.settled_at < end,
        ),
        select(Order.finished_at, outcome, Order.hammer_price).where(
            Order.seller_id == seller_id,
            Order.state.in_(orders.FINAL),
            Order.finished_at >= start,
            Order.finished_at < end,
        ),
    ).subquery()
    month = func.to_char(func.timezone(ZONE, facts.c.at), "YYYY-MM")
    counts: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    for name, kind, count, total in session.execute(
        select(month, facts.c.kind, func.count(), cast(func.sum(facts.c.sum), BigInteger)).group_by(
            month, facts.c.kind
        )
    ):
        counts[name, kind], sums[name, kind] = count, total
    return counts, sums


def _month(name: str, counts: Counter[tuple[str, str]], sums: Counter[tuple[str, str]]) -> SellerMonth:
    sold, unsold = counts[name, "sold"], counts[name, "unsold"]
    return SellerMonth(
        month=name,
        published=counts[name, "published"],
        sold=sold,
        unsold=unsold,
        conversion=round(100 * sold / (sold + unsold)) if sold + unsold else None,
        completed=counts[name, "completed"],
        gross=sums[name, "completed"],
        refunds=counts[name, "refunded"],
        refunded=sums[name, "refunded"],
    )


def _number(time: datetime) -> int:
    """Months counted from the year 0, so that they can be added."""
    return time.year * 12 + time.month - 1


def _parsed(month: str) -> int:
    year, _, of_year = month.partition("-")
    return int(year) * 12 + int(of_year) - 1


def _name(month: int) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}"


def _start(month: int) -> datetime:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=_KOREA)
