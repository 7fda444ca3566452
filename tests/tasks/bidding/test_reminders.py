"""Who watches an auction, or has a paddle in it, hears that it has opened and that it ends soon, once; and everybody
what is announced."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from market.audit import Actor
from market.bidding import neighbourhood, paddles, reminders
from market.listings import watches
from market.listings.listings import SoftCloseTerms
from market.notifications import announcements, broadcast
from market.platform import settings
from market.times import from_ms
from store.models import (
    Announcement,
    Auction,
    AuctionStatus,
    Broadcast,
    Event,
    Language,
    Notification,
    PaddleStatus,
    Role,
    User,
)
from tasks.app import Resources
from tasks.bidding import reminders as tasks_reminders
from tasks.bidding.reminders import (
    tell_announced,
    tell_ending,
    tell_extended,
    tell_opened,
)
from tests.support.factories import (
    MINUTE_MS,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)


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
        neighbourhood.place(session, outbid, auction.id, "one", 2_000)
        neighbourhood.place(session, leading, auction.id, "two", 3_000)
    sweep(resources)
    assert told(resources, watching, leading, outbid) == [
        ["opened", "ending_soon"],
        ["opened", "ending_soon"],
        ["outbid", "opened", "ending_soon"],
    ]


def change(resources: Resources, auction: UUID, **values: Any) -> None:
    with resources.database.transaction() as session:
        session.execute(update(Auction).where(Auction.id == auction).values(**values))


@pytest.mark.parametrize(
    "over", [{"status": AuctionStatus.UNSOLD}, {"ends_at": func.now()}], ids=["settled", "not yet settled"]
)
def test_what_is_over_is_not_announced(resources: Resources, over: dict[str, Any]) -> None:
    auction, users = make(resources, -2 * MINUTE_MS, 9 * MINUTE_MS)
    change(resources, auction, **over)
    sweep(resources)
    assert told(resources, *users) == [[], [], []]


def test_what_is_over_before_all_were_told_is_told_to_no_more(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "BATCH", 3)
    auction, users = make(resources, -MINUTE_MS, 9 * MINUTE_MS, watchers=7)
    with resources.database.transaction() as session:
        assert reminders.remind(session, auction, Event.ENDING_SOON)
    change(resources, auction, status=AuctionStatus.UNSOLD)
    with resources.database.transaction() as session:
        assert not reminders.remind(session, auction, Event.ENDING_SOON)
    assert sorted(told(resources, *users)) == [[]] * 6 + [["ending_soon"]] * 3


def test_of_what_is_hidden_only_those_hear_who_take_part(resources: Resources) -> None:
    auction, users = make(resources, -MINUTE_MS, 60 * MINUTE_MS)
    change(resources, auction, hidden_at=func.now())
    sweep(resources)
    assert told(resources, *users) == [[], ["opened"], []]


def test_an_end_that_an_outage_has_moved_is_told_again_and_one_that_late_bids_have_is_not(
    resources: Resources,
) -> None:
    auction, users = make(resources, -MINUTE_MS, 9 * MINUTE_MS)
    change(resources, auction, opened_told=True, latest_end=func.now() + timedelta(days=1))
    for later, times in ((timedelta(minutes=1), 1), (timedelta(hours=2), 2), (timedelta(0), 2)):
        sweep(resources)
        change(resources, auction, ends_at=Auction.ends_at + later)
        # The time passes until then.
        ago = func.now() + reminders.BEFORE_END - timedelta(minutes=1) - Auction.ends_at
        moved = {name: getattr(Auction, name) + ago for name in ("opens_at", "ends_at", "ending_told_for")}
        change(resources, auction, **moved)
        sweep(resources)
        assert told(resources, *users) == [["ending_soon"] * times] * 2 + [[]]


@pytest.mark.usefixtures("some_regions")
def test_who_was_outbid_hears_once_that_a_late_bid_has_moved_the_end(resources: Resources) -> None:
    soft_close = SoftCloseTerms(window_ms=MINUTE_MS, extension_ms=MINUTE_MS, cap_ms=10 * MINUTE_MS)
    with resources.database.transaction() as session:
        auction = make_neighbourhood_auction(session, soft_close=soft_close).id
        outbid, beaten, late = (make_neighbour(session, 50_000)[0] for _ in range(3))

    def bid(user: UUID, maximum: int) -> None:
        with resources.database.transaction() as session:
            neighbourhood.place(session, user, auction, str(maximum), maximum)
        for _ in range(2):
            tell_extended(resources)

    bid(outbid, 2_000)
    bid(beaten, 3_000)
    assert told(resources, outbid, beaten) == [["outbid"], []]
    # The time passes until half a minute before the end.
    end = func.now() + timedelta(seconds=30)
    change(resources, auction, ends_at=end, latest_end=end + timedelta(minutes=10))
    for maximum in (4_000, 5_000):
        bid(late, maximum)
        assert told(resources, outbid, beaten, late) == [["outbid", "extended"], ["extended", "outbid"], []]


def test_nobody_who_is_banned_is_told(resources: Resources) -> None:
    _, users = make(resources, -MINUTE_MS, 60 * MINUTE_MS)
    with resources.database.transaction() as session:
        session.execute(update(User).where(User.id == users[0]).values(banned_at=func.now()))
    sweep(resources)
    assert told(resources, *users) == [[], ["opened"], []]


def test_many_are_told_in_batches_and_the_next_run_goes_on_where_one_had_to_stop(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcast, "BATCH", 3)
    auction, users = make(resources, -MINUTE_MS, 60 * MINUTE_MS, watchers=7)
    for so_far in (3, 6):
        with resources.database.transaction() as session:
            assert reminders.remind(session, auction, Event.OPENED)
        assert told(resources, *sorted(users)).count(["opened"]) == so_far
    # As if there had been a crash right after the last transaction of all.
    for _ in range(2):
        while auction in due_now(resources):
            tell_opened(resources)
        assert told(resources, *users) == [["opened"]] * 8 + [[]]
        change(resources, auction, opened_told=False)
    with resources.database.transaction() as session:
        assert session.scalars(select(Broadcast.key).where(Broadcast.key.contains(str(auction)))).all() == []


def test_a_run_that_takes_too_long_stops(resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    _, users = make(resources, -MINUTE_MS, 60 * MINUTE_MS)
    monkeypatch.setattr(tasks_reminders, "RUN_S", -1)
    sweep(resources)
    assert told(resources, *users) == [[], [], []]


def due_now(resources: Resources) -> list[UUID]:
    with resources.database.transaction() as session:
        return list(reminders.auctions_to_remind(session, Event.OPENED))


def test_everybody_hears_what_is_announced_once_in_their_own_language(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = resources.hot.now_ms()
    with resources.database.transaction() as session:
        ann, ben = make_user(session), make_user(session)
        session.execute(update(User).where(User.id == ben).values(language=Language.KOREAN))
        users = session.scalars(select(func.count()).select_from(User)).one()
        for text, starts_in, ends_in in (("now", -2, 60), ("later", 50, 60), ("over", -2, -1)):
            starts_at, ends_at = (from_ms(now + minutes * MINUTE_MS) for minutes in (starts_in, ends_in))
            session.add(
                Announcement(text_ko=f"{text}, 공지", text_en=text, starts_at=starts_at, ends_at=ends_at)
            )
    monkeypatch.setattr(broadcast, "BATCH", users // 3 + 1)
    for _ in range(2):
        tell_announced(resources)
        assert announced(resources, ann) == ["now"]
        assert announced(resources, ben) == ["now, 공지"]
        # As after a crash before the last transaction.
        with resources.database.transaction() as session:
            session.execute(update(Announcement).where(Announcement.text_en == "now").values(told_at=None))


def test_what_is_ended_is_announced_to_no_more_and_what_fails_keeps_no_other_from_it(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = resources.hot.now_ms()
    with resources.database.transaction() as session:
        admin = Actor(make_user(session, role=Role.ADMIN), Role.ADMIN)
        times = now - MINUTE_MS, now + MINUTE_MS
        ended, failing, good = (
            settings.create_announcement(session, admin, text, text, *times, "A test").id
            for text in ("over", "failing", "now")
        )
        users = session.scalars(select(func.count()).select_from(User)).one()
        monkeypatch.setattr(broadcast, "BATCH", users // 2 + 1)
        assert announcements.notify_everybody(session, ended)
        settings.end_announcement(session, admin, ended, "A test")
        assert not announcements.notify_everybody(session, ended)
        last = make_user(session)
    announce = announcements.notify_everybody

    def fail(session: Session, announcement_id: UUID) -> bool:
        if announcement_id == failing:
            raise RuntimeError
        return announce(session, announcement_id)

    monkeypatch.setattr(announcements, "notify_everybody", fail)
    with capture_logs() as logs:
        tell_announced(resources)
    with resources.database.transaction() as session:
        causes = session.scalars(select(Notification.key).where(Notification.user_id == last)).all()
    assert f"announcement:{good}" in causes
    assert not {f"announcement:{ended}", f"announcement:{failing}"} & set(causes)
    assert [entry["subject"] for entry in logs if entry["event"] == "telling_failed"] == [str(failing)]
    with resources.database.transaction() as session:
        session.execute(update(Announcement).where(Announcement.id == failing).values(told_at=func.now()))
        assert session.get_one(Announcement, good).told_at is not None


def announced(resources: Resources, user: UUID) -> list[str]:
    """The user's notifications of this test's announcements."""
    own = Notification.data["title"].astext.regexp_match("^(now|later|over)")
    with resources.database.transaction() as session:
        return list(
            session.scalars(
                select(Notification.data["title"].astext).where(Notification.user_id == user, own)
            )
        )
