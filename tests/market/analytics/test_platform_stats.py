"""Figures, of this moment and through time."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from market.analytics import platform_stats
from market.analytics.platform_stats import Name, Point, SeriesStep
from market.errors import Refusal
from market.times import clock, to_ms
from store.models import Auction, AuctionStatus, Event, NotificationDelivery, PlatformSample
from tests.support.factories import make_notification, make_order, make_published_auction, make_user
from tests.support.plans import Plans, nodes

THEN = datetime(2001, 1, 1, tzinfo=UTC)
"""Long before everything that other tests do."""
HOUR = timedelta(hours=1)


def points(
    session: Session, name: Name, step: SeriesStep = SeriesStep.HOUR, hours: int = 24
) -> list[tuple[int, int]]:
    """The values of a series from THEN on, with the number of the step."""
    found = platform_stats.series(session, name, to_ms(THEN), to_ms(THEN + hours * HOUR), step)
    width = {SeriesStep.MINUTE: 60_000, SeriesStep.HOUR: 3_600_000, SeriesStep.DAY: 86_400_000}[step]
    return [((point.at - to_ms(THEN)) // width, point.value) for point in found.items]


def test_sales_are_counted_from_the_orders(db_session: Session) -> None:
    for minutes, price in ((5, 1_000), (50, 2_000), (130, 4_000), (25 * 60, 8_000)):
        order = make_order(db_session, hammer_price=price)
        order.created_at = THEN + timedelta(minutes=minutes)
    db_session.flush()
    assert points(db_session, Name.SALES) == [(0, 2), (2, 1)]
    assert points(db_session, Name.SALES_AMOUNT) == [(0, 3_000), (2, 4_000)]
    assert points(db_session, Name.SALES_AMOUNT, SeriesStep.DAY, 48) == [(0, 7_000), (1, 8_000)]
    assert points(db_session, Name.SALES, SeriesStep.MINUTE, 1) == [(5, 1), (50, 1)]


def test_conversion_and_lateness_are_those_of_the_auctions_that_ended(db_session: Session) -> None:
    for minutes, late_ms, price in ((5, 20, 1_000), (6, 250, None), (7, 0, 500), (65, 7, None)):
        auction = db_session.get_one(Auction, make_published_auction(db_session).id)
        auction.sealed_at = THEN + timedelta(minutes=minutes)
        auction.opens_at = auction.sealed_at - HOUR
        auction.ends_at = auction.latest_end = auction.sealed_at - timedelta(milliseconds=late_ms)
        auction.status = AuctionStatus.UNSOLD if price is None else AuctionStatus.SOLD
        auction.hammer_price = price
    db_session.flush()
    assert points(db_session, Name.CONVERSION) == [(0, 6_666), (1, 0)]
    assert points(db_session, Name.LATENESS) == [(0, 250), (1, 7)]


def test_samples_of_a_step_make_one_point(db_session: Session) -> None:
    for minutes, value in ((0, 3), (1, 9), (2, 5), (70, -4)):
        for name in (Name.VIEWERS, Name.LATE_REJECTIONS, Name.LEDGER_SUM):
            at = THEN + timedelta(minutes=minutes)
            db_session.execute(insert(PlatformSample).values(name=name, at=at, value=value))
    assert points(db_session, Name.VIEWERS) == [(0, 9), (1, -4)]
    assert points(db_session, Name.LATE_REJECTIONS) == [(0, 17), (1, -4)]
    assert points(db_session, Name.LEDGER_SUM) == [(0, 9), (1, 4)]


@pytest.mark.parametrize("name", Name)
def test_every_figure_has_a_series(db_session: Session, name: Name) -> None:
    assert points(db_session, name) == []


@pytest.mark.parametrize("span_ms", [0, -1, platform_stats.MAX_POINTS * 60_000 + 1])
def test_a_series_has_some_points_and_not_too_many(db_session: Session, span_ms: int) -> None:
    with pytest.raises(Refusal, match="invalid_query"):
        platform_stats.series(db_session, Name.BIDS, to_ms(THEN), to_ms(THEN) + span_ms, SeriesStep.MINUTE)


def test_the_figures_of_now_follow_what_happens(db_session: Session) -> None:
    platform_stats.sample(db_session, viewers=0, write_back_lag=0, late_rejections=0)
    before = platform_stats.now(db_session)
    told = make_notification(db_session, make_user(db_session), Event.WON)
    waiting = NotificationDelivery.notification_id == told
    db_session.execute(update(NotificationDelivery).where(waiting).values(due_at=func.now()))
    make_order(db_session, hammer_price=1_500)
    platform_stats.sample(db_session, viewers=7, write_back_lag=900, late_rejections=2)
    platform_stats.sample(db_session, viewers=5, write_back_lag=800, late_rejections=1)
    after = platform_stats.now(db_session)
    assert (after.sales - before.sales, after.sales_amount - before.sales_amount) == (1, 1_500)
    assert (after.viewers, after.write_back_lag) == (5, 800)
    assert (after.notification_backlog or 0) - (before.notification_backlog or 0) == 1
    assert after.late_rejections - before.late_rejections == 3
    assert after.ledger_sum == 0
    at = after.at
    [*_, last] = platform_stats.series(
        db_session, Name.VIEWERS, at - 60_000, at + 60_000, SeriesStep.DAY
    ).items
    assert isinstance(last, Point)
    assert last.value == 7


def test_only_the_bids_of_a_minute_are_counted_for_the_figures_of_now(db_session: Session) -> None:
    with Plans(db_session) as explained:
        platform_stats.now(db_session)
    read = [node.get("Relation Name") for plan in explained.plans for node in nodes(plan)]
    assert read.count("bids") == 1


def test_a_sample_of_long_ago_is_not_what_is_now(db_session: Session) -> None:
    db_session.execute(delete(PlatformSample))
    for age, known in ((platform_stats.FRESH, None), (platform_stats.MINUTE, 5)):
        at = clock(db_session) - age
        db_session.execute(insert(PlatformSample).values(name=Name.WRITE_BACK_LAG, at=at, value=5))
        assert platform_stats.now(db_session).write_back_lag == known


def test_an_auction_that_nobody_seals_is_late(db_session: Session) -> None:
    auction = db_session.get_one(Auction, make_published_auction(db_session).id)
    auction.opens_at = auction.ends_at = auction.latest_end = THEN
    db_session.flush()
    now = platform_stats.now(db_session)
    assert now.lateness == now.at - to_ms(THEN)


def test_without_anything_there_are_still_figures(db_session: Session) -> None:
    db_session.execute(delete(PlatformSample))
    found = platform_stats.now(db_session)
    assert (found.viewers, found.write_back_lag, found.notification_backlog) == (None, None, None)


def test_old_samples_are_deleted(db_session: Session) -> None:
    db_session.execute(insert(PlatformSample).values(name=Name.VIEWERS, at=THEN, value=1))
    platform_stats.sample(db_session, 1, 1, 1)
    platform_stats.forget_old(db_session)
    assert db_session.scalar(select(func.min(PlatformSample.at))) != THEN
