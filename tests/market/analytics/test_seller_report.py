"""A seller's figures, month by month."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.analytics import seller_report
from market.analytics.seller_report import SellerMonth
from market.errors import Refusal
from store.models import Auction, AuctionStatus, OrderState
from tests.support.database import statements
from tests.support.factories import make_order, make_published_auction, make_user


def listed(
    session: Session, seller: UUID, at: datetime, status: AuctionStatus, ended: datetime | None = None
) -> None:
    """A listing of this seller that was published and ended at these times."""
    auction = session.get_one(Auction, make_published_auction(session, seller).id)
    auction.published_at, auction.status, auction.settled_at = at, status, ended
    session.flush()


def ordered(session: Session, seller: UUID, price: int, state: OrderState, at: datetime) -> None:
    order = make_order(session, seller, hammer_price=price)
    auction = session.get_one(Auction, order.auction_id)
    auction.published_at = datetime(2020, 1, 1, tzinfo=UTC)
    order.state, order.finished_at = state, at
    session.flush()


def a_month(month: str, **fields: Any) -> SellerMonth:
    nothing = dict.fromkeys(("published", "sold", "unsold", "completed", "gross", "refunds", "refunded"), 0)
    return SellerMonth(**{"month": month, "conversion": None, **nothing, **fields})


def in_march(day: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def test_every_number_of_a_month_is_exact(db_session: Session) -> None:
    seller, other = make_user(db_session), make_user(db_session)
    listed(db_session, seller, in_march(1), AuctionStatus.SOLD, in_march(2))
    listed(db_session, seller, in_march(1), AuctionStatus.SOLD, in_march(3))
    listed(db_session, seller, in_march(1), AuctionStatus.UNSOLD, in_march(4))
    # Published in one month, ended in the next.
    listed(db_session, seller, in_march(30), AuctionStatus.UNSOLD, datetime(2026, 4, 2, tzinfo=UTC))
    listed(db_session, seller, in_march(30), AuctionStatus.PUBLISHED)
    ordered(db_session, seller, 1_500, OrderState.COMPLETED, in_march(5))
    ordered(db_session, seller, 2_500, OrderState.COMPLETED, in_march(6))
    ordered(db_session, seller, 700, OrderState.REFUNDED, in_march(7))
    ordered(db_session, seller, 300, OrderState.CANCELLED, in_march(8))
    listed(db_session, other, in_march(1), AuctionStatus.SOLD, in_march(2))
    ordered(db_session, other, 9_999, OrderState.COMPLETED, in_march(5))
    make_order(db_session, seller)
    assert seller_report.of_seller(db_session, seller, "2026-02", "2026-04").items == [
        a_month("2026-02"),
        a_month(
            "2026-03",
            published=5,
            sold=2,
            unsold=1,
            conversion=67,
            completed=2,
            gross=4_000,
            refunds=2,
            refunded=1_000,
        ),
        a_month("2026-04", unsold=1, conversion=0),
    ]


def test_months_are_those_of_korea(db_session: Session) -> None:
    seller = make_user(db_session)
    listed(db_session, seller, in_march(31, 14), AuctionStatus.PUBLISHED)
    listed(db_session, seller, in_march(31, 15), AuctionStatus.PUBLISHED)
    found = seller_report.of_seller(db_session, seller, "2026-03", "2026-04").items
    assert [month.published for month in found] == [1, 1]


def test_without_months_the_last_twelve_are_told(db_session: Session) -> None:
    seller = make_user(db_session)
    make_published_auction(db_session, seller)
    now = db_session.scalars(select(func.to_char(func.timezone("Asia/Seoul", func.now()), "YYYY-MM"))).one()
    found = seller_report.of_seller(db_session, seller, None, None).items
    assert (len(found), found[-1]) == (12, a_month(now, published=1))
    over_new_year = seller_report.of_seller(db_session, seller, None, "2026-02").items
    assert [month.month for month in over_new_year][0::11] == ["2025-03", "2026-02"]


@pytest.mark.parametrize(("first", "last"), [("2026-03", "2026-02"), ("2020-01", "2023-01")])
def test_a_time_has_an_order_and_an_end(db_session: Session, first: str, last: str) -> None:
    with pytest.raises(Refusal) as refusal:
        seller_report.of_seller(db_session, make_user(db_session), first, last)
    assert refusal.value.code == "invalid_query"
    assert len(seller_report.of_seller(db_session, make_user(db_session), "2020-01", "2022-12").items) == 36


def test_all_months_take_one_statement(db_session: Session) -> None:
    seller = make_user(db_session)
    with statements() as seen:
        seller_report.of_seller(db_session, seller, "2024-01", "2026-12")
    assert len(seen) == 1
