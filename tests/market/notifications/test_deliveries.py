"""What leaves, when, together with what, and what need not leave any more. The clock is passed in."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.notifications import deliveries
from market.notifications.deliveries import MAX_FAILURES, SUPERSEDED_BY, DeliveryClaim
from market.notifications.preferences import (
    GATHERED,
    Reader,
    delivery_time,
    readers,
)
from market.times import to_ms
from store.database import SyncDatabase
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
from store.outbox import FIRST_DELAY, LEASE, LONGEST_DELAY, MAX_ATTEMPTS
from tests.support.factories import make_published_auction, make_user
from tests.support.races import at_once

NOON = datetime(2020, 1, 15, 3, 0, tzinfo=UTC)
"""In Seoul, long before anything that other tests leave to be sent."""

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
EMAIL, PUSH = Channel.EMAIL, Channel.PUSH


def tell(
    session: Session,
    user_id: UUID,
    event: Event = Event.WON,
    at: datetime = NOON,
    auction_id: UUID | None = None,
    channel: Channel = EMAIL,
    **data: Any,
) -> UUID:
    """A notification that was written at `at`, and its delivery by the channel."""
    _, found = readers(session, [user_id])
    due_at = delivery_time(event, channel, found[user_id], at)
    assert due_at is not None
    notification = Notification(
        id=new_id(),
        user_id=user_id,
        event=event,
        key=f"{event}:{new_id()}",
        auction_id=auction_id,
        data=data,
        created_at=at,
    )
    session.add(notification)
    session.flush()
    session.add(
        NotificationDelivery(notification_id=notification.id, user_id=user_id, channel=channel, due_at=due_at)
    )
    session.flush()
    return notification.id


def claim_next(session: Session, channel: Channel, now: datetime) -> DeliveryClaim | None:
    """The next that has something to send."""
    while (claim := deliveries.claim(session, channel, now)) is not None and not claim.notices:
        pass
    return claim


def told(claim: DeliveryClaim | None) -> list[UUID]:
    """The notifications of a claim."""
    return [] if claim is None else [notice.id for notice in claim.notices]


def waiting(session: Session, user_id: UUID) -> list[NotificationDelivery]:
    rows = select(NotificationDelivery).where(NotificationDelivery.user_id == user_id)
    return list(
        session.scalars(rows.order_by(NotificationDelivery.id), execution_options={"populate_existing": True})
    )


def prefer(session: Session, user_id: UUID, **values: Any) -> None:
    session.add(NotificationPreferences(user_id=user_id, **values))
    session.flush()


def a_browser(session: Session, user_id: UUID, failures: int = 0) -> UUID:
    row = PushSubscription(
        user_id=user_id,
        endpoint=f"https://push.example/{new_id()}",
        p256dh=b"key",
        auth=b"secret",
        failures=failures,
    )
    session.add(row)
    session.flush()
    return row.id


def test_what_is_due_is_claimed_once_and_sent_once(db_session: Session) -> None:
    ann = make_user(db_session)
    won = tell(db_session, ann, title="Bicycle")
    assert claim_next(db_session, EMAIL, NOON - SECOND) is None
    claim = claim_next(db_session, EMAIL, NOON)
    assert claim is not None
    assert (claim.user_id, claim.attempt, told(claim)) == (ann, 1, [won])
    assert claim.address == db_session.get_one(User, ann).email
    assert claim.notices[0].data == {"title": "Bicycle"}
    assert claim_next(db_session, EMAIL, NOON + LEASE - SECOND) is None
    deliveries.sent(db_session, claim, NOON + SECOND)
    assert claim_next(db_session, EMAIL, NOON + 9 * HOUR) is None
    [row] = waiting(db_session, ann)
    assert row.sent_at == NOON + SECOND


def test_what_a_process_died_with_is_claimed_again(db_session: Session) -> None:
    won = tell(db_session, make_user(db_session))
    claim_next(db_session, EMAIL, NOON)
    again = claim_next(db_session, EMAIL, NOON + LEASE)
    assert again is not None
    assert (again.attempt, told(again)) == (2, [won])


def test_what_processes_die_of_is_given_up(db_session: Session) -> None:
    ann = make_user(db_session)
    tell(db_session, ann)
    for n in range(MAX_ATTEMPTS):
        claim = deliveries.claim(db_session, EMAIL, NOON + n * LEASE)
        assert claim is not None
        assert claim.attempt == n + 1
    assert claim_next(db_session, EMAIL, NOON + MAX_ATTEMPTS * LEASE) is None
    [row] = waiting(db_session, ann)
    assert (row.dead_at, row.last_error) == (NOON + MAX_ATTEMPTS * LEASE, "interrupted")


def test_no_transaction_goes_through_all_that_is_pointless(db_session: Session) -> None:
    users = [make_user(db_session) for _ in range(3)]
    for user_id in users:
        tell(db_session, user_id)
    db_session.execute(update(Notification).where(Notification.user_id.in_(users)).values(read_at=NOON))
    for left in (2, 1, 0):
        claim = deliveries.claim(db_session, EMAIL, NOON)
        assert claim is not None
        assert claim.notices == ()
        assert sum(len(waiting(db_session, user_id)) for user_id in users) == left
    assert deliveries.claim(db_session, EMAIL, NOON) is None


def test_what_will_never_be_taken_is_given_up_at_once(db_session: Session) -> None:
    ann = make_user(db_session)
    tell(db_session, ann)
    claim = deliveries.claim(db_session, EMAIL, NOON)
    assert claim is not None
    assert deliveries.failed(db_session, claim, "550", final=True, now=NOON) == 1
    assert [row.dead_at for row in waiting(db_session, ann)] == [NOON]


def test_a_channel_is_claimed_for_itself(db_session: Session) -> None:
    ann = make_user(db_session)
    browser = a_browser(db_session, ann)
    pushed = tell(db_session, ann, channel=PUSH)
    assert claim_next(db_session, EMAIL, NOON) is None
    claim = claim_next(db_session, PUSH, NOON)
    assert claim is not None
    assert told(claim) == [pushed]
    assert [(found.id, found.p256dh, found.auth) for found in claim.browsers] == [
        (browser, b"key", b"secret")
    ]


def test_fifty_outbids_in_a_minute_are_one_e_mail(db_session: Session) -> None:
    ann, ben = make_user(db_session), make_user(db_session)
    outbids = [tell(db_session, ann, Event.OUTBID, NOON + n * SECOND) for n in range(50)]
    other = tell(db_session, ben, Event.OUTBID, NOON + SECOND)
    assert claim_next(db_session, EMAIL, NOON + GATHERED - SECOND) is None
    claim = claim_next(db_session, EMAIL, NOON + GATHERED)
    assert told(claim) == outbids[::-1], "the newest first"
    assert claim_next(db_session, EMAIL, NOON + GATHERED) is None
    assert told(claim_next(db_session, EMAIL, NOON + GATHERED + SECOND)) == [other]
    assert claim_next(db_session, EMAIL, NOON + GATHERED + LEASE - SECOND) is None


def test_what_comes_while_an_e_mail_is_on_its_way_waits_for_the_next(db_session: Session) -> None:
    ann = make_user(db_session)
    tell(db_session, ann, Event.OUTBID)
    first = claim_next(db_session, EMAIL, NOON + GATHERED)
    late = tell(db_session, ann, Event.OUTBID, NOON + GATHERED + SECOND)
    second = claim_next(db_session, EMAIL, NOON + 2 * GATHERED + SECOND)
    assert first is not None
    assert told(second) == [late]


def test_what_is_urgent_takes_along_what_waits(db_session: Session) -> None:
    ann = make_user(db_session)
    outbid = tell(db_session, ann, Event.OUTBID)
    won = tell(db_session, ann, Event.WON, NOON + SECOND)
    assert told(claim_next(db_session, EMAIL, NOON + SECOND)) == [won, outbid]


@pytest.mark.parametrize("first", [Event.WON, Event.LOGIN])
def test_security_goes_alone(db_session: Session, first: Event) -> None:
    ann = make_user(db_session)
    events = [first, *{Event.WON, Event.LOGIN} - {first}, Event.SECOND_FACTOR_CHANGED, Event.SOLD]
    for n, event in enumerate(events):
        tell(db_session, ann, event, NOON + n * SECOND)
    claims = [claim_next(db_session, EMAIL, NOON + MINUTE) for _ in range(2)]
    groups = [{notice.event for notice in claim.notices} for claim in claims if claim is not None]
    secure, other = {Event.LOGIN, Event.SECOND_FACTOR_CHANGED}, {Event.WON, Event.SOLD}
    assert groups == ([secure, other] if first in SECURITY else [other, secure])


@pytest.mark.parametrize(
    ("event", "later"), [(event, later) for event in SUPERSEDED_BY for later in sorted(SUPERSEDED_BY[event])]
)
def test_what_is_overtaken_does_not_leave(db_session: Session, event: Event, later: Event) -> None:
    ann = make_user(db_session)
    wanted = {name: {"email": True, "push": True} for name in Event}
    prefer(db_session, ann, channels=wanted)
    here, there = (make_published_auction(db_session).id for _ in range(2))
    tell(db_session, ann, event, auction_id=here)
    kept = tell(db_session, ann, event, auction_id=there)
    newer = tell(db_session, ann, later, NOON + SECOND, here)
    assert set(told(claim_next(db_session, EMAIL, NOON + GATHERED))) == {kept, newer}
    assert len(waiting(db_session, ann)) == 2, "what is pointless is gone"


def test_what_was_written_at_the_same_time_overtakes_nothing(db_session: Session) -> None:
    ann, auction = make_user(db_session), make_published_auction(db_session).id
    both = {tell(db_session, ann, event, auction_id=auction) for event in (Event.OUTBID, Event.OUTBID)}
    assert set(told(claim_next(db_session, EMAIL, NOON + GATHERED))) == both


@pytest.mark.parametrize("event", [Event.WON, Event.LOGIN])
def test_what_was_read_does_not_leave_unless_it_is_about_security(db_session: Session, event: Event) -> None:
    id = tell(db_session, make_user(db_session), event)
    db_session.get_one(Notification, id).read_at = NOON
    assert told(claim_next(db_session, EMAIL, NOON)) == ([id] if event in SECURITY else [])


def test_what_is_not_wanted_any_more_does_not_leave(db_session: Session) -> None:
    ann = make_user(db_session)
    tell(db_session, ann, Event.WON)
    tell(db_session, ann, Event.LOGIN)
    sold = tell(db_session, ann, Event.SOLD)
    prefer(db_session, ann, channels={"won": {"email": False}, "login": {"email": False}})
    assert [claim_next(db_session, EMAIL, NOON) is None for _ in range(3)] == [False, False, True]
    assert {row.notification_id for row in waiting(db_session, ann)} >= {sold}
    assert len(waiting(db_session, ann)) == 2


@pytest.mark.parametrize("event", [Event.OPENED, Event.ENDING_SOON])
def test_what_looks_forward_to_an_end_does_not_leave_after_it(db_session: Session, event: Event) -> None:
    ann = make_user(db_session)
    a_browser(db_session, ann)
    prefer(db_session, ann, quiet_from=11 * 60, quiet_until=13 * 60)
    end = NOON + HOUR
    tell(db_session, ann, event, channel=PUSH, ends_at=to_ms(end))
    kept = {
        tell(db_session, ann, event, channel=PUSH, ends_at=ends_at)
        for ends_at in (to_ms(end + SECOND), None, "soon")
    }
    assert set(told(claim_next(db_session, PUSH, NOON + HOUR))) == kept
    assert len(waiting(db_session, ann)) == 3


def test_a_time_zone_that_is_not_known_here_stops_nobody(db_session: Session) -> None:
    ann = make_user(db_session)
    prefer(db_session, ann, quiet_from=1 * 60, quiet_until=2 * 60, time_zone="Atlantis/Main")
    won = tell(db_session, ann)
    claim = claim_next(db_session, EMAIL, NOON)
    assert claim is not None
    assert (told(claim), claim.locale.zone.key) == ([won], "Asia/Seoul")


def test_quiet_hours_that_were_chosen_meanwhile_are_kept(db_session: Session) -> None:
    ann = make_user(db_session)
    won = tell(db_session, ann, Event.WON)
    login = tell(db_session, ann, Event.LOGIN, NOON + SECOND)
    prefer(db_session, ann, quiet_from=11 * 60, quiet_until=13 * 60)
    claim = claim_next(db_session, EMAIL, NOON + MINUTE)
    assert claim is not None
    assert told(claim) == [login]
    deliveries.sent(db_session, claim)
    assert claim_next(db_session, EMAIL, NOON + HOUR - SECOND) is None
    assert [row.attempts for row in waiting(db_session, ann) if row.notification_id == won] == [0]
    assert told(claim_next(db_session, EMAIL, NOON + HOUR)) == [won]


def test_quiet_hours_hold_for_web_push_too(db_session: Session) -> None:
    ann = make_user(db_session)
    a_browser(db_session, ann)
    prefer(db_session, ann, quiet_from=22 * 60, quiet_until=8 * 60, time_zone="Europe/Berlin")
    # Noon in Seoul is four in the morning there.
    outbid = tell(db_session, ann, Event.OUTBID, channel=PUSH)
    assert claim_next(db_session, PUSH, NOON + 4 * HOUR - SECOND) is None
    assert told(claim_next(db_session, PUSH, NOON + 4 * HOUR)) == [outbid]


def test_a_digest_is_one_e_mail_a_day(db_session: Session) -> None:
    ann = make_user(db_session)
    prefer(db_session, ann, digest=Digest.DAILY)
    of_a_day = [tell(db_session, ann, Event.OUTBID, NOON + n * HOUR) for n in range(20)]
    nine = NOON + 21 * HOUR
    won = tell(db_session, ann, Event.WON, NOON + HOUR)
    urgent = claim_next(db_session, EMAIL, NOON + HOUR)
    assert urgent is not None
    assert told(urgent) == [won]
    deliveries.sent(db_session, urgent)
    assert claim_next(db_session, EMAIL, NOON + HOUR) is None
    after = tell(db_session, ann, Event.OUTBID, nine + SECOND)
    claim = claim_next(db_session, EMAIL, nine)
    assert claim is not None
    assert told(claim) == of_a_day[::-1]
    deliveries.sent(db_session, claim)
    assert claim_next(db_session, EMAIL, nine + 23 * HOUR) is None
    assert told(claim_next(db_session, EMAIL, nine + 24 * HOUR)) == [after]


def test_the_waits_double_and_at_last_a_delivery_is_dead(db_session: Session) -> None:
    ann = make_user(db_session)
    won = tell(db_session, ann)
    now, waits = NOON, []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        claim = claim_next(db_session, EMAIL, now)
        assert claim is not None
        assert claim.attempt == attempt
        dead = deliveries.failed(db_session, claim, "OSError", now=now)
        assert dead == (attempt == MAX_ATTEMPTS)
        [row] = waiting(db_session, ann)
        waits.append(row.due_at - now)
        now = row.due_at
    assert waits[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert max(waits[:-1]) == LONGEST_DELAY
    assert claim_next(db_session, EMAIL, now + 99 * HOUR) is None
    assert row.dead_at is not None
    assert (row.sent_at, row.last_error) == (None, "OSError")
    [shown] = [item for item in deliveries.dead(db_session, None, 100).items if item.user_id == ann]
    assert (shown.channel, shown.event, shown.attempts) == (EMAIL, Event.WON, MAX_ATTEMPTS)
    assert (shown.error, shown.died_at) == ("OSError", to_ms(row.dead_at))
    assert db_session.get(Notification, won) is not None, "the list still has it"


def test_what_joins_one_that_dies_does_not_die_with_it(db_session: Session) -> None:
    ann = make_user(db_session)
    tell(db_session, ann)
    db_session.execute(update(NotificationDelivery).values(attempts=MAX_ATTEMPTS - 1))
    young = tell(db_session, ann, Event.SOLD)
    claim = claim_next(db_session, EMAIL, NOON)
    assert claim is not None
    assert len(told(claim)) == 2
    assert deliveries.failed(db_session, claim, "OSError", now=NOON) == 1
    again = claim_next(db_session, EMAIL, NOON + LONGEST_DELAY)
    assert told(again) == [young]


def test_a_service_that_asks_to_wait_is_left_alone(db_session: Session) -> None:
    ann = make_user(db_session)
    a_browser(db_session, ann)
    tell(db_session, ann, channel=PUSH)
    claim = claim_next(db_session, PUSH, NOON)
    assert claim is not None
    deliveries.failed(db_session, claim, "429", wait=7 * HOUR, now=NOON)
    assert claim_next(db_session, PUSH, NOON + 7 * HOUR - SECOND) is None
    assert claim_next(db_session, PUSH, NOON + 7 * HOUR) is not None


def test_the_list_of_the_dead_has_pages(db_session: Session) -> None:
    ann = make_user(db_session)
    for _ in range(3):
        tell(db_session, ann)
    db_session.execute(
        update(NotificationDelivery).where(NotificationDelivery.user_id == ann).values(dead_at=NOON)
    )
    seen, cursor = [], None
    while True:
        page = deliveries.dead(db_session, cursor, 1)
        seen += [item.id for item in page.items if item.user_id == ann]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [row.id for row in waiting(db_session, ann)][::-1]
    with pytest.raises(Refusal, match="invalid_cursor"):
        deliveries.dead(db_session, "x", 1)


@pytest.mark.parametrize(
    "gone", [{"email_verified_at": None}, {"deleted_at": NOON, "email_verified_at": None}]
)
def test_nothing_is_sent_to_users_who_cannot_be_reached_any_more(
    db_session: Session, gone: dict[str, Any]
) -> None:
    ann = make_user(db_session)
    tell(db_session, ann)
    tell(db_session, ann, Event.LOGIN)
    db_session.execute(update(User).where(User.id == ann).values(**gone))
    assert claim_next(db_session, EMAIL, NOON) is None
    assert waiting(db_session, ann) == []


def test_nothing_is_pushed_without_a_browser(db_session: Session) -> None:
    ann = make_user(db_session)
    browser = a_browser(db_session, ann)
    tell(db_session, ann, channel=PUSH)
    db_session.execute(delete(PushSubscription).where(PushSubscription.id == browser))
    assert claim_next(db_session, PUSH, NOON) is None
    assert waiting(db_session, ann) == []


def test_browsers_are_counted_and_forgotten(db_session: Session) -> None:
    ann = make_user(db_session)
    reached, gone, failed, last = (a_browser(db_session, ann, n) for n in (5, 0, 5, MAX_FAILURES - 1))
    deliveries.note_browsers(db_session, [reached], [gone], [failed, last])
    db_session.expire_all()
    rows = db_session.scalars(select(PushSubscription).where(PushSubscription.user_id == ann))
    assert {row.id: row.failures for row in rows} == {reached: 0, failed: 6}


@pytest.fixture
def many(sync_database: SyncDatabase) -> Iterator[list[UUID]]:
    """Users to each of whom five notifications are due, in transactions of their own."""
    with sync_database.transaction() as session:
        users = [make_user(session) for _ in range(12)]
        for user_id in users:
            for n in range(5):
                tell(session, user_id, at=NOON + n * SECOND)
    yield users
    with sync_database.transaction() as session:
        session.execute(delete(Notification).where(Notification.user_id.in_(users)))


def test_many_workers_claim_each_delivery_once(sync_database: SyncDatabase, many: list[UUID]) -> None:
    def claim() -> list[UUID]:
        claimed: list[UUID] = []
        while True:
            with sync_database.transaction() as session:
                found = deliveries.claim(session, EMAIL, NOON + MINUTE)
            if found is None:
                return claimed
            claimed += found.ids

    claimed = [id for ids in at_once([claim] * 6) for id in ids]
    assert len(claimed) == len(set(claimed)) == 60


AUCTION = UUID("0199f000-0000-7000-8000-000000000001")
OTHER = UUID("0199f000-0000-7000-8000-000000000002")
LATER, EARLIER = NOON + SECOND, NOON - SECOND
ENDS_LATER, ENDED = {"ends_at": to_ms(NOON) + 1}, {"ends_at": to_ms(NOON)}
BY_EMAIL = {"deviations": {"ending_soon": {"email": True}, "extended": {"email": True}}}
MORNING = datetime(2020, 1, 15, 22, 0, tzinfo=UTC)
"""07:00 in Seoul."""


@pytest.mark.parametrize(
    ("event", "fields", "newest", "reading", "send_at"),
    [
        (Event.WON, {}, {}, {}, NOON),
        (Event.WON, {}, {}, {"has_email": False}, None),
        (Event.WON, {"read_at": NOON}, {}, {}, None),
        (Event.WON, {}, {}, {"deviations": {"won": {"email": False}}}, None),
        (Event.WON, {}, {}, {"deviations": {"won": {"push": False}}}, NOON),
        (Event.WON, {}, {}, {"quiet_from": 0, "quiet_until": 420}, NOON),
        (Event.WON, {}, {}, {"quiet_from": 600, "quiet_until": 420}, MORNING),
        (Event.OUTBID, {}, {(AUCTION, Event.OUTBID): NOON}, {}, NOON),
        (Event.OUTBID, {}, {(AUCTION, Event.OUTBID): LATER}, {}, None),
        (Event.OUTBID, {}, {(AUCTION, Event.LEADING): LATER}, {}, None),
        (Event.OUTBID, {}, {(AUCTION, Event.LOST): LATER}, {}, None),
        (Event.OUTBID, {}, {(AUCTION, Event.LOST): EARLIER}, {}, NOON),
        (Event.OUTBID, {}, {(OTHER, Event.LOST): LATER}, {}, NOON),
        (Event.OUTBID, {}, {(AUCTION, Event.ENDING_SOON): LATER}, {}, NOON),
        (Event.WON, {}, {(AUCTION, Event.LOST): LATER}, {}, NOON),
        (Event.ENDING_SOON, {"data": ENDS_LATER}, {}, BY_EMAIL, NOON),
        (Event.ENDING_SOON, {"data": ENDED}, {}, BY_EMAIL, None),
        (Event.EXTENDED, {"data": ENDED}, {}, BY_EMAIL, NOON),
        (Event.LOGIN, {"read_at": NOON}, {}, {"quiet_from": 600, "quiet_until": 420}, NOON),
        (Event.LOGIN, {}, {}, {"has_email": False}, None),
    ],
)
def test_when_a_notification_is_sent_and_when_it_is_pointless(
    event: Event,
    fields: dict[str, Any],
    newest: dict[tuple[UUID | None, Event], datetime],
    reading: dict[str, Any],
    send_at: datetime | None,
) -> None:
    item = Notification(**{"event": event, "auction_id": AUCTION, "created_at": NOON, "data": {}} | fields)
    reader = Reader(None, None, "Asia/Seoul", Digest.OFF, {}, Language.KOREAN, True, True)
    assert deliveries.when_to_send(item, EMAIL, replace(reader, **reading), newest, NOON) == send_at
