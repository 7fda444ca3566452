"""Notifications: one for each cause, and when they are sent by which channel."""

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market import account_deletion
from market.notifications import notifications, preferences
from market.notifications.notifications import NewNotification, notify
from market.notifications.preferences import (
    GATHERED,
    Preferences,
    Reader,
    Wish,
    after_quiet_hours,
    delivery_time,
)
from store.database import SyncDatabase
from store.effects import pushes_to_users
from store.ids import new_id
from store.models import (
    SECURITY,
    Channel,
    Digest,
    Event,
    Language,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
    User,
)
from store.redis.pushes import NotificationPush
from tests.support.database import statements
from tests.support.factories import NO_PASSWORD, make_notification, make_user
from tests.support.races import at_once

NOON = datetime(2026, 3, 2, 3, 0, tzinfo=UTC)
"""Twelve o'clock in Seoul."""

NIGHT = {"quiet_from": 22 * 60, "quiet_until": 7 * 60}


def a_reader(**changes: Any) -> Reader:
    fields: dict[str, Any] = {
        "quiet_from": None,
        "quiet_until": None,
        "time_zone": "Asia/Seoul",
        "digest": Digest.OFF,
        "deviations": {},
        "language": Language.ENGLISH,
        "has_email": True,
        "has_browser": True,
    }
    return Reader(**fields | changes)


def seoul(hour: int, minute: int = 0, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC) - timedelta(hours=9)


def subscribe(session: Session, user_id: UUID) -> None:
    """Have the user reached by Web Push."""
    session.add(PushSubscription(user_id=user_id, endpoint=str(new_id()), p256dh=b"x", auth=b"x"))
    session.flush()


def stored(session: Session, user_id: UUID) -> list[Notification]:
    return list(
        session.scalars(select(Notification).where(Notification.user_id == user_id).order_by(Notification.id))
    )


def deliveries(session: Session, user_id: UUID) -> dict[str, datetime]:
    rows = session.execute(
        select(NotificationDelivery.channel, NotificationDelivery.due_at).where(
            NotificationDelivery.user_id == user_id
        )
    ).all()
    assert len(rows) == len(dict(rows))
    return dict(rows)


@pytest.fixture(autouse=True)
def nobody_told(db_session: Session) -> None:
    db_session.info.clear()


# -- when it leaves


def test_what_is_urgent_leaves_at_once_and_the_rest_waits_for_company() -> None:
    reader = a_reader()
    assert delivery_time(Event.WON, Channel.EMAIL, reader, NOON) == NOON
    assert delivery_time(Event.OUTBID, Channel.EMAIL, reader, NOON) == NOON + GATHERED
    assert delivery_time(Event.OUTBID, Channel.PUSH, reader, NOON) == NOON


@pytest.mark.parametrize(("event", "channel"), list(product(Event, Channel)))
def test_each_event_leaves_by_the_channels_that_the_user_wants_for_it(event: Event, channel: Channel) -> None:
    def leaves(wanted: bool) -> bool:
        others = {other: {"email": not wanted, "push": not wanted} for other in Event}
        other_channel = "email" if channel == Channel.PUSH else "push"
        deviations = others | {event: {channel: wanted, other_channel: not wanted}}
        return delivery_time(event, channel, a_reader(deviations=deviations), NOON) is not None

    if channel == Channel.EMAIL and event in SECURITY:
        written_elsewhere = event == Event.PASSWORD_CHANGED
        assert leaves(True) is leaves(False) is not written_elsewhere
    else:
        assert leaves(True)
        assert not leaves(False)


def test_nothing_leaves_by_a_channel_that_the_user_does_not_have_or_want() -> None:
    unwanted = a_reader(deviations={"outbid": {"email": False, "push": False}})
    assert delivery_time(Event.OUTBID, Channel.EMAIL, unwanted, NOON) is None
    assert delivery_time(Event.OUTBID, Channel.PUSH, unwanted, NOON) is None
    assert delivery_time(Event.WON, Channel.EMAIL, a_reader(has_email=False), NOON) is None
    assert delivery_time(Event.WON, Channel.PUSH, a_reader(has_browser=False), NOON) is None
    assert delivery_time(Event.LEADING, Channel.EMAIL, a_reader(), NOON) is None
    wanted = a_reader(deviations={"leading": {"email": True, "push": False}})
    assert delivery_time(Event.LEADING, Channel.EMAIL, wanted, NOON) == NOON + GATHERED


@pytest.mark.parametrize(
    ("now", "sent"),
    [
        (seoul(21, 59), seoul(21, 59)),
        (seoul(22), seoul(7, day=3)),
        (seoul(23, 30), seoul(7, day=3)),
        (seoul(0), seoul(7)),
        (seoul(6, 59), seoul(7)),
        (seoul(7), seoul(7)),
    ],
)
def test_quiet_hours_over_midnight_end_in_the_morning(now: datetime, sent: datetime) -> None:
    assert delivery_time(Event.WON, Channel.PUSH, a_reader(**NIGHT), now) == sent


def test_quiet_hours_by_day_are_those_of_the_users_time_zone() -> None:
    siesta = {"quiet_from": 13 * 60, "quiet_until": 15 * 60 + 30}
    reader = a_reader(**siesta, time_zone="America/New_York")
    # In March 2026 New York is five hours behind UTC, from the 8th on four.
    assert after_quiet_hours(reader, datetime(2026, 3, 2, 19, tzinfo=UTC)) == datetime(
        2026, 3, 2, 20, 30, tzinfo=UTC
    )
    assert after_quiet_hours(reader, datetime(2026, 3, 9, 18, tzinfo=UTC)) == datetime(
        2026, 3, 9, 19, 30, tzinfo=UTC
    )
    early = datetime(2026, 3, 2, 17, 59, tzinfo=UTC)
    assert after_quiet_hours(reader, early) == early


def test_quiet_hours_that_a_change_of_the_clock_cuts_short_end_at_their_hour() -> None:
    reader = a_reader(**NIGHT, time_zone="Europe/Berlin")
    # On 29 March 2026 the clocks go from 2 to 3.
    assert after_quiet_hours(reader, datetime(2026, 3, 28, 22, tzinfo=UTC)) == datetime(
        2026, 3, 29, 5, tzinfo=UTC
    )


def test_equal_times_are_no_quiet_hours() -> None:
    assert after_quiet_hours(a_reader(quiet_from=600, quiet_until=600), seoul(10)) == seoul(10)


@given(
    start=st.integers(0, 1439),
    end=st.integers(0, 1439),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    zone=st.sampled_from(["Asia/Seoul", "Europe/Berlin", "America/St_Johns", "UTC"]),
)
def test_nothing_is_ever_sent_in_quiet_hours_or_before_its_time(
    start: int, end: int, at: datetime, zone: str
) -> None:
    reader = a_reader(quiet_from=start, quiet_until=end, time_zone=zone)
    sent = after_quiet_hours(reader, at)
    assert at <= sent <= at + timedelta(hours=25)
    assert after_quiet_hours(reader, sent) == sent


def test_a_digest_comes_at_nine_and_what_is_urgent_does_not_wait_for_it() -> None:
    reader = a_reader(digest=Digest.DAILY)
    assert delivery_time(Event.OUTBID, Channel.EMAIL, reader, seoul(8, 59)) == seoul(9)
    assert delivery_time(Event.OUTBID, Channel.EMAIL, reader, seoul(9)) == seoul(9, day=3)
    assert delivery_time(Event.OUTBID, Channel.PUSH, reader, seoul(9)) == seoul(9)
    assert delivery_time(Event.WON, Channel.EMAIL, reader, seoul(8)) == seoul(8)
    late_riser = a_reader(digest=Digest.DAILY, quiet_from=0, quiet_until=11 * 60)
    assert delivery_time(Event.OUTBID, Channel.EMAIL, late_riser, seoul(8)) == seoul(11)


@pytest.mark.parametrize("event", sorted(SECURITY - {Event.PASSWORD_CHANGED}))
def test_what_is_about_security_is_mailed_at_any_hour_whatever_is_preferred(event: Event) -> None:
    reader = a_reader(**NIGHT, digest=Digest.DAILY, deviations={event: {"email": False, "push": False}})
    assert delivery_time(event, Channel.EMAIL, reader, seoul(3)) == seoul(3)
    assert delivery_time(event, Channel.PUSH, reader, seoul(3)) is None
    assert delivery_time(event, Channel.PUSH, a_reader(**NIGHT), seoul(3)) == seoul(3)


def test_the_mail_about_a_new_password_is_written_elsewhere() -> None:
    assert delivery_time(Event.PASSWORD_CHANGED, Channel.EMAIL, a_reader(), NOON) is None
    assert delivery_time(Event.PASSWORD_CHANGED, Channel.PUSH, a_reader(), NOON) == NOON


# -- writing


def test_many_are_told_in_few_statements(db_session: Session) -> None:
    users = [make_user(db_session) for _ in range(20)]
    with statements() as seen:
        notify(
            db_session,
            [
                NewNotification(user, event, "a cause", {})
                for user in users
                for event in (Event.OUTBID, Event.WON)
            ],
        )
    assert len(seen) <= 5, seen
    for user in users:
        assert sorted(row.event for row in stored(db_session, user)) == ["outbid", "won"]
    waiting = select(func.count()).where(NotificationDelivery.user_id.in_(users))
    assert db_session.scalar(waiting) == 40
    assert len(pushes_to_users(db_session)) == 40


def test_a_user_is_told_once_for_each_cause(db_session: Session) -> None:
    ann, bob = make_user(db_session), make_user(db_session)
    new = [NewNotification(user, Event.WON, "x", {"title": "A desk"}) for user in (ann, bob)]
    for _ in range(3):
        notify(db_session, [*new, *new])
    notify(db_session, [NewNotification(ann, Event.WON, "y", {}), NewNotification(ann, Event.SOLD, "x", {})])

    assert [(row.event, row.key) for row in stored(db_session, ann)] == [
        ("won", "won:x"),
        ("sold", "sold:x"),
        ("won", "won:y"),
    ]
    assert [row.data for row in stored(db_session, bob)] == [{"title": "A desk"}]
    assert len(pushes_to_users(db_session)) == 4


def test_the_push_says_what_the_list_shows_and_how_many_are_unread(db_session: Session) -> None:
    ann = make_user(db_session)
    make_notification(db_session, ann)
    db_session.info.clear()
    db_session.get_one(User, ann).language = Language.KOREAN
    notify(db_session, [NewNotification(ann, Event.WON, "x", {"price": 5})])

    [item] = notifications.page(db_session, ann, True, None, 1).items
    [(user, push)] = pushes_to_users(db_session)
    assert isinstance(push, NotificationPush)
    assert (user, push.id, push.event, push.data, push.unread) == (ann, item.id, "won", {"price": 5}, 2)
    assert (push.title, push.body, push.path) == (item.title, item.body, item.path)
    assert item.body.endswith("\n가격: ₩5")
    assert notifications.count_unread(db_session, ann).unread == 2


def test_a_delivery_is_written_for_each_channel_that_reaches_the_user(db_session: Session) -> None:
    mailed, both = make_user(db_session), make_user(db_session)
    neither = make_user(db_session, verified=False)
    subscribe(db_session, both)
    notify(db_session, [NewNotification(user, Event.WON, "x", {}) for user in (mailed, both, neither)])

    now = db_session.scalar(select(func.clock_timestamp()))
    assert now is not None
    assert deliveries(db_session, mailed).keys() == {"email"}
    assert deliveries(db_session, both).keys() == {"email", "push"}
    assert deliveries(db_session, neither) == {}
    for due_at in deliveries(db_session, both).values():
        assert now - timedelta(seconds=10) < due_at <= now


def test_what_only_stands_in_the_list_is_neither_sent_nor_pushed(db_session: Session) -> None:
    ann = make_user(db_session)
    notify(db_session, [NewNotification(ann, Event.WON, "x", {}, leaves=False)])
    assert len(stored(db_session, ann)) == 1
    assert deliveries(db_session, ann) == {}
    assert pushes_to_users(db_session) == []


def test_preferences_count_from_the_next_notification_on(db_session: Session) -> None:
    ann = make_user(db_session)
    wish = Wish(Event.WON, email=False, push=False)
    preferences.put(db_session, ann, Preferences(channels=[wish]))
    notify(db_session, [NewNotification(ann, Event.WON, "x", {}), NewNotification(ann, Event.SOLD, "x", {})])
    rows = db_session.scalars(
        select(Notification.event)
        .join(NotificationDelivery, NotificationDelivery.notification_id == Notification.id)
        .where(Notification.user_id == ann)
    ).all()
    assert rows == ["sold"]


def test_only_deviations_are_stored_so_new_defaults_reach_everybody(db_session: Session) -> None:
    ann = make_user(db_session)
    view = preferences.get(db_session, ann)
    preferences.put(db_session, ann, view)
    row = db_session.get_one(NotificationPreferences, ann)
    assert (row.channels, row.version) == ({}, 1)


def test_nobody_is_told_whose_account_is_deleted_and_the_rest_is_forgotten(db_session: Session) -> None:
    ann = make_user(db_session)
    subscribe(db_session, ann)
    notify(db_session, [NewNotification(ann, Event.WON, "x", {"title": "Ann's desk"})])
    preferences.put(db_session, ann, Preferences(channels=[]))
    account_deletion.delete(db_session, ann, NO_PASSWORD)

    notify(db_session, [NewNotification(ann, Event.WON, "y", {})])

    for table in (Notification, NotificationDelivery, NotificationPreferences, PushSubscription):
        assert db_session.scalar(select(func.count()).where(table.user_id == ann)) == 0


def test_users_that_do_not_exist_are_left_out(db_session: Session) -> None:
    notify(db_session, [NewNotification(new_id(), Event.WON, "x", {})])
    notify(db_session, [])


def test_the_same_told_by_many_at_once_stands_there_once(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        people = [make_user(session) for _ in range(10)]
    new = [NewNotification(user, Event.ENDING_SOON, "x", {}) for user in people]

    def tell(items: list[NewNotification]) -> list[UUID]:
        with sync_database.transaction() as session:
            notify(session, items)
            return [user for user, _ in pushes_to_users(session)]

    outcomes = at_once([partial(tell, items) for items in [new, new[::-1]] * 4])
    assert sorted(user for outcome in outcomes for user in outcome) == sorted(people)
    with sync_database.transaction() as session:
        assert [len(stored(session, user)) for user in people] == [1] * 10


def test_what_is_old_is_forgotten_with_its_deliveries(db_session: Session) -> None:
    ann = make_user(db_session)
    old, new = make_notification(db_session, ann, Event.WON), make_notification(db_session, ann, Event.WON)
    db_session.execute(
        update(Notification)
        .where(Notification.id == old)
        .values(created_at=func.now() - timedelta(days=notifications.KEEP_DAYS, seconds=1))
    )
    notifications.forget_old(db_session)
    assert [row.id for row in stored(db_session, ann)] == [new]
    assert len(deliveries(db_session, ann)) == 1


def test_a_transaction_forgets_some_at_a_time(db_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "FORGOTTEN", 2)
    ann = make_user(db_session)
    for _ in range(3):
        make_notification(db_session, ann)
    old = func.now() - timedelta(days=10 * notifications.KEEP_DAYS)
    db_session.execute(update(Notification).where(Notification.user_id == ann).values(created_at=old))
    assert notifications.forget_old(db_session)
    assert len(stored(db_session, ann)) == 1
    assert not notifications.forget_old(db_session)
    assert stored(db_session, ann) == []


def test_unread_are_counted_up_to_a_limit(db_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "MAX_UNREAD", 3)
    ann = make_user(db_session)
    for _ in range(5):
        make_notification(db_session, ann)
    assert notifications.count_unread(db_session, ann).unread == 3


def test_what_a_savepoint_takes_back_is_not_told(db_session: Session) -> None:
    ann = make_user(db_session)
    notify(db_session, [NewNotification(ann, Event.WON, "kept", {})])
    with db_session.begin_nested():
        notify(db_session, [NewNotification(ann, Event.WON, "kept inside", {})])
    with db_session.begin_nested() as outer:
        with db_session.begin_nested():
            notify(db_session, [NewNotification(ann, Event.WON, "lost inside", {})])
        notify(db_session, [NewNotification(ann, Event.WON, "lost", {})])
        outer.rollback()
    assert {row.key for row in stored(db_session, ann)} == {"won:kept", "won:kept inside"}
    ids = {push.id for _, push in pushes_to_users(db_session) if isinstance(push, NotificationPush)}
    assert ids == {row.id for row in stored(db_session, ann)}
