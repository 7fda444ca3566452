"""Who watches an auction, or has a paddle in it, hears that it has opened and that it ends soon, once; and everybody
what is announced."""

from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from market import announcing, bidding, paddles, platform, reminders, watches
from market.audit import Actor
from store.models import (
    Announcement,
    Auction,
    AuctionStatus,
    Event,
    Language,
    Notification,
    PaddleStatus,
    Role,
    User,
)
from tasks.app import Resources
from tasks.reminders import tell_announced, tell_ending, tell_opened
from tests.database import (
    MINUTE_MS,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.tasks.stage import Stage


def told(resources: Resources, *users: UUID) -> list[list[str]]:
    """The events in each user's list."""
    with resources.database.transaction() as session:
        return [
            list(
                session.scalars(
                    select(Notification.event).where(Notification.user_id == user).order_by(Notification.id)
                )
            )
            for user in users
        ]


def make(
    resources: Resources, opens_in_ms: int, ends_in_ms: int, watchers: int = 1
) -> tuple[UUID, list[UUID]]:
    """An auction that some watch, and in which one has a paddle, another has given it back."""
    now = resources.hot.now_ms()
    with resources.database.transaction() as session:
        auction = make_published_auction(session, opens_at=now + opens_in_ms, ends_at=now + ends_in_ms)
        watching = [make_user(session) for _ in range(watchers)]
        for user in watching:
            watches.put(session, user, auction.id)
        holding, gone = make_funded_user(session, 9_000), make_funded_user(session, 9_000)
        for user in (holding, gone):
            paddles.take(session, user, auction.id, 5_000)
        returned = paddles.begin_return(session, gone, auction.id)
        returned = paddles.finish_return(session, auction.id, gone, returned.version)
        assert returned.status == PaddleStatus.RETURNED
    return auction.id, [*watching, holding, gone]


def sweep(resources: Resources) -> None:
    for _ in range(2):
        tell_opened(resources)
        tell_ending(resources)


def test_nothing_is_told_before_its_time(resources: Resources) -> None:
    _, users = make(resources, MINUTE_MS, 60 * MINUTE_MS)
    sweep(resources)
    assert told(resources, *users) == [[], [], []]


def test_the_opening_is_told_and_ten_minutes_before_the_end_that(resources: Resources) -> None:
    _, users = make(resources, -MINUTE_MS, 11 * MINUTE_MS)
    sweep(resources)
    assert told(resources, *users) == [["opened"], ["opened"], []]
    _, users = make(resources, -MINUTE_MS, 9 * MINUTE_MS)
    sweep(resources)
    assert told(resources, *users) == [["opened", "ending_soon"], ["opened", "ending_soon"], []]


@pytest.mark.usefixtures("some_regions")
def test_a_neighbourhood_auction_is_told_of_alike(resources: Resources) -> None:
    now = resources.hot.now_ms()
    with resources.database.transaction() as session:
        auction = make_neighbourhood_auction(session, opens_at=now - MINUTE_MS, ends_at=now + 9 * MINUTE_MS)
        watching, (leading, _), (outbid, _) = (
            make_user(session),
            *(make_neighbour(session, 9_000) for _ in "ab"),
        )
        watches.put(session, watching, auction.id)
        bidding.place(session, outbid, auction.id, "one", 2_000)
        bidding.place(session, leading, auction.id, "two", 3_000)
    sweep(resources)
    assert told(resources, watching, leading, outbid) == [
        ["opened", "ending_soon"],
        ["opened", "ending_soon"],
        ["outbid", "opened", "ending_soon"],
    ]


def test_what_is_over_is_not_announced(stage: Stage) -> None:
    auction = stage.auction()
    with stage.resources.database.transaction() as session:
        watcher = make_user(session)
        watches.put(session, watcher, auction)
        row = session.get_one(Auction, auction)
        row.status = AuctionStatus.UNSOLD
    sweep(stage.resources)
    assert told(stage.resources, watcher) == [[]]


def test_many_are_told_in_batches_and_after_a_crash_nobody_twice(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminders, "BATCH", 3)
    auction, users = make(resources, -MINUTE_MS, 60 * MINUTE_MS, watchers=7)
    with resources.database.transaction() as session:
        assert reminders.remind(session, auction, Event.OPENED, None) is not None
    while auction in due_now(resources):
        tell_opened(resources)
    assert told(resources, *users) == [["opened"]] * 8 + [[]]


def due_now(resources: Resources) -> list[UUID]:
    with resources.database.transaction() as session:
        return list(reminders.due(session, Event.OPENED))


def test_everybody_hears_what_is_announced_once_in_the_own_language(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = resources.hot.now_ms()
    with resources.database.transaction() as session:
        ann, ben = make_user(session), make_user(session)
        session.execute(update(User).where(User.id == ben).values(language=Language.KOREAN))
        users = session.scalars(select(func.count()).select_from(User)).one()
        for text, starts_in, ends_in in (("now", -2, 60), ("later", 50, 60), ("over", -2, -1)):
            times = now + starts_in * MINUTE_MS, now + ends_in * MINUTE_MS
            platform.announce(session, Actor(ann, Role.ADMIN), f"{text}, 공지", text, *times, "A test")
    monkeypatch.setattr(announcing, "BATCH", users // 3 + 1)
    for _ in range(2):
        tell_announced(resources)
        assert announced(resources, ann) == ["now"]
        assert announced(resources, ben) == ["now, 공지"]
        # As after a crash before the last transaction.
        with resources.database.transaction() as session:
            session.execute(update(Announcement).where(Announcement.text_en == "now").values(told_at=None))


def announced(resources: Resources, user: UUID) -> list[str]:
    """What the user was told of this test's announcements."""
    own = Notification.data["title"].astext.regexp_match("^(now|later|over)")
    with resources.database.transaction() as session:
        return list(
            session.scalars(
                select(Notification.data["title"].astext).where(Notification.user_id == user, own)
            )
        )
