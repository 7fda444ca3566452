"""Notifications are sent: as e-mails by a real SMTP server, and as Web Push to browsers that can read it."""

import email
import email.policy
from dataclasses import replace
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, text, update
from structlog.testing import capture_logs

from market.bidding import neighbourhood
from market.notifications import (
    account_emails,
    deliveries,
    notifications,
    unsubscribing,
)
from market.notifications.notifications import NewNotification, Value
from market.times import clock
from store.ids import new_id
from store.models import (
    SECURITY,
    AccountEmailKind,
    Auction,
    Channel,
    Event,
    Language,
    Notification,
    NotificationDelivery,
    NotificationPreferences,
    PushSubscription,
    User,
)
from store.outbox import MAX_ATTEMPTS
from tasks.app import Resources
from tasks.bidding.neighbourhood import end_due
from tasks.bidding.write_back import write_back_logs
from tasks.notifications import push_deliveries as tasks_deliveries
from tasks.notifications.emails import send_due
from tasks.notifications.push_deliveries import RUNNING, push_due
from tests.support.factories import (
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.servers import Browser, Mailbox, PushService
from tests.support.stage import Stage

URL = "https://bid.example"


@pytest.fixture(autouse=True)
def _nothing_else_waits(resources: Resources) -> None:
    with resources.database.transaction() as session:
        session.execute(delete(Notification))
        session.execute(text("DELETE FROM account_emails"))


@pytest.fixture
def by_both(by_smtp: Resources, push_service: PushService) -> Resources:
    """The resources with a mail server; `push_service` needs no setting."""
    return by_smtp


def a_reader(resources: Resources, language: Language = Language.ENGLISH) -> UUID:
    """A user whose address is verified, and who wants every notification."""
    with resources.database.transaction() as session:
        user_id = make_user(session)
        session.get_one(User, user_id).language = language
        everything = {event: {"email": True, "push": True} for event in Event}
        session.add(NotificationPreferences(user_id=user_id, channels=everything))
        return user_id


def subscribe(resources: Resources, service: PushService, user_id: UUID) -> Browser:
    """A browser of the user's."""
    browser = service.subscribe(resources.web_push.public_key)
    with resources.database.transaction() as session:
        session.add(
            PushSubscription(
                user_id=user_id, endpoint=browser.endpoint, p256dh=browser.p256dh, auth=browser.auth
            )
        )
    return browser


def tell(resources: Resources, user_id: UUID, *events: Event, **data: Any) -> None:
    """Notify the user of events, each of another cause."""
    new = [NewNotification(user_id, event, str(new_id()), {"title": "A bicycle"} | data) for event in events]
    with resources.database.transaction() as session:
        notifications.notify(session, new)


def pass_time(resources: Resources) -> None:
    """Everything that waits is due."""
    with resources.database.transaction() as session:
        session.execute(update(NotificationDelivery).values(due_at=func.now() - timedelta(seconds=1)))


def send(resources: Resources) -> None:
    """Let the time pass until the next e-mail, and send it."""
    pass_time(resources)
    send_due(resources)


def stored(resources: Resources, user_id: UUID) -> list[NotificationDelivery]:
    with resources.database.transaction() as session:
        rows = select(NotificationDelivery).where(NotificationDelivery.user_id == user_id)
        return list(session.scalars(rows))


def address_of(resources: Resources, user_id: UUID) -> str:
    with resources.database.transaction() as session:
        return session.get_one(User, user_id).email


def parts(message: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML of an e-mail."""
    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.iter_parts()
    assert isinstance(plain, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    return plain.get_content(), html.get_content()


@pytest.mark.parametrize("language", list(Language))
def test_every_event_arrives_by_e_mail_in_the_language_of_its_reader(
    by_smtp: Resources, mailbox: Mailbox, language: Language
) -> None:
    # `market.notifications.account_emails` writes the e-mail about a changed password.
    events = [event for event in Event if event != Event.PASSWORD_CHANGED]
    for event in events:
        tell(by_smtp, a_reader(by_smtp, language), event)
    send(by_smtp)
    assert len(mailbox.received) == len(events)
    for message in mailbox.received:
        assert message["From"] == "NeighborBid <from@example.org>"
        assert message["Auto-Submitted"] == "auto-generated"
        for content in (message["Subject"], *parts(message)):
            assert any("가" <= letter <= "힣" for letter in content) is (language is Language.KOREAN)
        assert f"{URL}/#/" in parts(message)[0]
    assert len({message["Subject"] for message in mailbox.received}) == len(events)


def test_one_click_in_the_mail_program_ends_such_e_mails(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    tell(by_smtp, ann, Event.OUTBID)
    send(by_smtp)
    [message] = mailbox.received
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = str(message["List-Unsubscribe"])
    base = f"<{URL}/api/v1/notifications/unsubscribe?token="
    assert address.startswith(base)
    token = address.removeprefix(base).removesuffix(">")
    plain, html = parts(message)
    assert f"{URL}/#/unsubscribe?token={token}" in plain
    assert f'<a href="{URL}/#/unsubscribe?token={token}">' in html
    assert unsubscribing.read_token(by_smtp.post.unsubscribe_key, token) == (ann, [Event.OUTBID])
    with by_smtp.database.transaction() as session:
        unsubscribing.unsubscribe(session, *unsubscribing.read_token(by_smtp.post.unsubscribe_key, token))
    tell(by_smtp, ann, Event.OUTBID, Event.WON)
    send(by_smtp)
    assert [message["Subject"] for message in mailbox.received[1:]] == ["You won: “A bicycle”"]


def test_what_waits_when_its_reader_unsubscribes_does_not_leave(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    tell(by_smtp, ann, Event.OUTBID)
    with by_smtp.database.transaction() as session:
        unsubscribing.unsubscribe(session, ann, [Event.OUTBID])
    send(by_smtp)
    assert mailbox.received == []
    assert stored(by_smtp, ann) == []


def test_an_e_mail_about_several_things_is_ended_as_a_whole(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    tell(by_smtp, ann, Event.OUTBID, Event.WON)
    send(by_smtp)
    [message] = mailbox.received
    token = str(message["List-Unsubscribe"]).partition("token=")[2].removesuffix(">")
    events = [Event.OUTBID, Event.WON]
    assert unsubscribing.read_token(by_smtp.post.unsubscribe_key, token) == (ann, events)


@pytest.mark.parametrize("event", sorted(SECURITY - {Event.PASSWORD_CHANGED}))
def test_e_mails_about_security_cannot_be_ended(by_smtp: Resources, mailbox: Mailbox, event: Event) -> None:
    tell(by_smtp, a_reader(by_smtp), event)
    send_due(by_smtp)
    [message] = mailbox.received
    assert message["List-Unsubscribe"] is None
    assert message["List-Unsubscribe-Post"] is None
    assert "nsubscribe" not in "".join(parts(message))


def test_fifty_outbids_in_a_minute_are_one_e_mail(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    for n in range(50):
        tell(by_smtp, ann, Event.OUTBID, title=f"Lot {n}", price=1_000 * n)
    send_due(by_smtp)
    assert mailbox.received == [], "they are gathered first"
    send(by_smtp)
    [message] = mailbox.received
    assert message["Subject"] == "50 notifications: You were outbid: “Lot 49”"
    plain, html = parts(message)
    assert "₩49,000" in plain
    assert "And 20 more on NeighborBid." in plain
    assert html.count("Someone has placed a higher bid") == 30
    assert all(row.sent_at for row in stored(by_smtp, ann))
    send(by_smtp)
    assert len(mailbox.received) == 1


def test_many_bids_on_one_auction_are_one_line(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    with by_smtp.database.transaction() as session:
        auction = make_published_auction(session).id
    for n in range(50):
        with by_smtp.database.transaction() as session:
            data: dict[str, Value] = {"title": "A bicycle", "price": 1_000 * n}
            notifications.notify(
                session, [NewNotification(ann, Event.OUTBID, str(n), data, auction_id=auction)]
            )
    send(by_smtp)
    [message] = mailbox.received
    assert message["Subject"] == "You were outbid: “A bicycle”"
    assert f"Price: ₩49,000\n{URL}/#/auctions/{auction}\n" in parts(message)[0].replace("\r\n", "\n")
    assert len(stored(by_smtp, ann)) == 1


TITLE = 'A <b>"bike"</b>\r\nBcc: everybody@example.org\r\n\r\n<script>alert(1)</script>' + "긴" * 200


def test_what_a_user_wrote_stays_in_its_place(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    tell(by_smtp, ann, Event.QUESTION, title=TITLE)
    send(by_smtp)
    [message] = mailbox.received
    assert (message["To"], message["Bcc"]) == (address_of(by_smtp, ann), None)
    assert len(message["Subject"]) < 120
    plain, html = parts(message)
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "<b>" not in html
    assert "\nBcc" not in plain


def test_account_mails_go_first(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann, ben = a_reader(by_smtp), a_reader(by_smtp)
    tell(by_smtp, ann, Event.WON)
    with by_smtp.database.transaction() as session:
        account_emails.write(session, AccountEmailKind.RESET, session.get_one(User, ben).email)
    send_due(by_smtp)
    assert [message["To"] for message in mailbox.received] == [
        address_of(by_smtp, ben),
        address_of(by_smtp, ann),
    ]


def test_one_that_is_refused_waits_and_keeps_no_other_waiting(by_smtp: Resources, mailbox: Mailbox) -> None:
    bad, good = a_reader(by_smtp), a_reader(by_smtp)
    mailbox.refused.add(address_of(by_smtp, bad))
    tell(by_smtp, bad, Event.WON)
    tell(by_smtp, good, Event.WON)
    with capture_logs() as logs:
        send_due(by_smtp)
    assert [message["To"] for message in mailbox.received] == [address_of(by_smtp, good)]
    [entry] = logs
    assert (entry["event"], entry["user"]) == ("notifications_not_sent", str(bad))
    assert "@" not in str(logs)
    [row] = stored(by_smtp, bad)
    assert (row.attempts, row.last_error, row.sent_at) == (1, "SMTPRecipientsRefused 450", None)
    mailbox.refused.clear()
    send_due(by_smtp)
    assert len(mailbox.received) == 1, "not before its time"
    send(by_smtp)
    assert len(mailbox.received) == 2


def test_what_is_refused_too_often_is_dead(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    mailbox.refused.add(address_of(by_smtp, ann))
    tell(by_smtp, ann, Event.WON)
    with capture_logs() as logs:
        for _attempt in range(MAX_ATTEMPTS + 2):
            send(by_smtp)
    assert [entry["event"] for entry in logs] == [
        *["notifications_not_sent"] * (MAX_ATTEMPTS - 1),
        "notifications_given_up",
    ]
    assert (logs[-1]["log_level"], logs[-1]["count"]) == ("error", 1)
    with by_smtp.database.transaction() as session:
        [dead] = deliveries.dead(session, None, 10).items
    assert (dead.user_id, dead.event, dead.error) == (ann, Event.WON, "SMTPRecipientsRefused 450")


def test_after_a_crash_it_is_sent_again(
    by_smtp: Resources, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CrashError(BaseException):
        """The process dies here."""

    def crash(*_args: object) -> None:
        raise CrashError

    tell(by_smtp, a_reader(by_smtp), Event.WON)
    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "sent", crash)
        with pytest.raises(CrashError):
            send_due(by_smtp)
    send_due(by_smtp)
    assert len(mailbox.received) == 1, "its lease is not over"
    send(by_smtp)
    send(by_smtp)
    assert len(mailbox.received) == 2


def test_without_a_server_an_e_mail_becomes_a_file(resources: Resources, mail_dir: Path) -> None:
    ann = a_reader(resources, Language.KOREAN)
    tell(resources, ann, Event.WON, title="자전거")
    send_due(resources)
    [file] = mail_dir.iterdir()
    raw = file.read_bytes()
    [line] = [line for line in raw.split(b"\r\n") if line.startswith(b"List-Unsubscribe:")]
    assert line.startswith(b"List-Unsubscribe: <https://bid.example/api/v1/notifications/unsubscribe?token=")
    assert line.endswith(b">")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["To"] == address_of(resources, ann)
    assert message["Subject"] == "낙찰되었습니다: “자전거”"
    assert "자전거" in parts(message)[0]


def test_a_browser_shows_what_happened(resources: Resources, push_service: PushService) -> None:
    ann = a_reader(resources)
    browsers = [subscribe(resources, push_service, ann) for _ in range(2)]
    with resources.database.transaction() as session:
        auction = make_published_auction(session).id
        data: dict[str, Value] = {"title": "A bicycle", "price": 52_000}
        notifications.notify(session, [NewNotification(ann, Event.OUTBID, "1", data, auction_id=auction)])
        id = session.scalars(select(Notification.id).where(Notification.user_id == ann)).one()
    push_due(resources)
    assert {pushed.browser.endpoint for pushed in push_service.received} == {
        browser.endpoint for browser in browsers
    }
    for pushed in push_service.received:
        assert pushed.body == {
            "id": str(id),
            "event": "outbid",
            "title": "You were outbid: “A bicycle”",
            "body": "Someone has placed a higher bid on “A bicycle”.\nPrice: ₩52,000",
            "url": f"{URL}/#/auctions/{auction}",
            "count": 1,
        }
        assert (pushed.headers["Urgency"], pushed.headers["Topic"]) == ("high", auction.hex)
    push_due(resources)
    assert len(push_service.received) == 2, "once"


@pytest.mark.parametrize("language", list(Language))
def test_every_event_fits_into_a_message(
    resources: Resources, push_service: PushService, language: Language
) -> None:
    long = "긴" * 5_000
    for event in Event:
        ann = a_reader(resources, language)
        subscribe(resources, push_service, ann)
        tell(resources, ann, event, title=long, text=long, place=long, price=2**53 - 1)
    push_due(resources)
    assert {pushed.body["event"] for pushed in push_service.received} == set(Event)


def test_what_is_due_at_the_same_time_is_one_message(resources: Resources, push_service: PushService) -> None:
    ann = a_reader(resources)
    subscribe(resources, push_service, ann)
    tell(resources, ann, Event.WON)
    tell(resources, ann, Event.ORDER_SHIP)
    push_due(resources)
    [pushed] = push_service.received
    assert (pushed.body["count"], pushed.body["title"]) == (2, "2 notifications: On its way: “A bicycle”")
    assert "Topic" not in pushed.headers


def test_what_ends_soon_is_kept_no_longer_for_a_browser_that_is_away(
    resources: Resources, push_service: PushService
) -> None:
    ann = a_reader(resources)
    subscribe(resources, push_service, ann)
    for event, least, most in ((Event.ENDING_SOON, 290, 300), (Event.WON, 24 * 3600, 24 * 3600)):
        tell(resources, ann, event, ends_at=resources.hot.now_ms() + 300_000)
        push_due(resources)
        assert least <= int(push_service.received[-1].headers["Ttl"]) <= most


def test_how_it_ended_takes_the_place_of_what_came_before(
    resources: Resources, push_service: PushService
) -> None:
    ann = a_reader(resources)
    subscribe(resources, push_service, ann)
    auction = new_id()
    for event in (Event.OUTBID, Event.WON):
        with resources.database.transaction() as session:
            notifications.notify(session, [NewNotification(ann, event, str(auction), {}, auction_id=auction)])
        push_due(resources)
    assert [pushed.headers["Topic"] for pushed in push_service.received] == [auction.hex] * 2


def test_many_mails_of_accounts_keep_no_notification_waiting(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann, ben = a_reader(by_smtp), a_reader(by_smtp)
    with by_smtp.database.transaction() as session:
        for _ in range(3):
            account_emails.write(session, AccountEmailKind.PASSWORD_CHANGED, session.get_one(User, ben).email)
    tell(by_smtp, ann, Event.WON)
    send(by_smtp)
    assert address_of(by_smtp, ann) in [message["To"] for message in mailbox.received[:2]]


def test_what_is_refused_for_good_is_not_sent_again(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    mailbox.refused.add(address_of(by_smtp, ann))
    mailbox.refusal = 550
    tell(by_smtp, ann, Event.WON)
    send(by_smtp)
    assert [row.dead_at is not None for row in stored(by_smtp, ann)] == [True]


def test_what_left_twice_has_one_name(by_smtp: Resources, mailbox: Mailbox) -> None:
    ann = a_reader(by_smtp)
    tell(by_smtp, ann, Event.WON)
    send(by_smtp)
    # As if the process had died before it noted that.
    with by_smtp.database.transaction() as session:
        session.execute(update(NotificationDelivery).values(sent_at=None))
        session.execute(update(Notification).values(created_at=func.now() - timedelta(days=1)))
    send(by_smtp)
    first, second = mailbox.received
    assert first["Message-ID"] == second["Message-ID"]
    assert abs(second["Date"].datetime - first["Date"].datetime) < timedelta(minutes=1), "when it left"


@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_has_unsubscribed_is_forgotten(
    resources: Resources, push_service: PushService, status: int
) -> None:
    ann = a_reader(resources)
    gone, there = (subscribe(resources, push_service, ann) for _ in range(2))
    push_service.answer(gone, status)
    tell(resources, ann, Event.WON)
    push_due(resources)
    with resources.database.transaction() as session:
        left = session.scalars(select(PushSubscription.endpoint).where(PushSubscription.user_id == ann)).all()
    assert left == [there.endpoint]
    assert [row.sent_at is not None for row in stored(resources, ann) if row.channel == "push"] == [True]

    push_service.answer(there, status)
    tell(resources, ann, Event.SOLD)
    push_due(resources)
    pass_time(resources)
    push_due(resources)
    assert len([row for row in stored(resources, ann) if row.channel == "push"]) == 1, "only what was sent"


def test_a_service_that_is_busy_is_asked_again_when_it_said(
    resources: Resources, push_service: PushService
) -> None:
    ann = a_reader(resources)
    browser = subscribe(resources, push_service, ann)
    tell(resources, ann, Event.OUTBID)
    push_service.answer(browser, 429, Retry_After="3600")
    with capture_logs() as logs:
        push_due(resources)
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("notifications_not_sent", "429")]
    with resources.database.transaction() as session:
        row = session.scalars(
            select(NotificationDelivery).where(NotificationDelivery.channel == Channel.PUSH)
        ).one()
        assert timedelta(minutes=59) < row.due_at - clock(session) <= timedelta(hours=1)
        failures = select(PushSubscription.failures).where(PushSubscription.user_id == ann)
        assert session.scalars(failures).all() == [1]
    push_due(resources)
    assert push_service.requests == 1
    push_service.answers.clear()
    pass_time(resources)
    push_due(resources)
    assert [pushed.body["event"] for pushed in push_service.received] == ["outbid"]


def test_a_message_that_no_service_takes_is_dead_at_last(
    resources: Resources, push_service: PushService
) -> None:
    ann = a_reader(resources)
    browser = subscribe(resources, push_service, ann)
    push_service.answer(browser, 500)
    tell(resources, ann, Event.WON)
    with capture_logs() as logs:
        for _attempt in range(MAX_ATTEMPTS + 2):
            pass_time(resources)
            push_due(resources)
    assert push_service.requests == MAX_ATTEMPTS
    assert logs[-1]["event"] == "notifications_given_up"
    with resources.database.transaction() as session:
        dead = deliveries.dead(session, None, 10).items
        assert [(item.user_id, item.channel, item.error) for item in dead] == [(ann, "push", "500")]


def test_one_browser_that_cannot_be_reached_keeps_nobody_waiting(
    resources: Resources, push_service: PushService
) -> None:
    ann, ben = a_reader(resources), a_reader(resources)
    broken = subscribe(resources, push_service, ann)
    subscribe(resources, push_service, ann)
    subscribe(resources, push_service, ben)
    push_service.answer(broken, 500)
    for user_id in (ann, ben):
        tell(resources, user_id, Event.WON)
    push_due(resources)
    assert len(push_service.received) == 2
    pass_time(resources)
    push_due(resources)
    assert push_service.requests == 3, "what one browser has got is not sent again"


def test_a_message_that_cannot_be_written_keeps_nobody_waiting(
    resources: Resources, push_service: PushService
) -> None:
    ann, ben = a_reader(resources), a_reader(resources)
    for user_id in (ann, ben):
        subscribe(resources, push_service, user_id)
    tell(resources, ann, Event.ENDING_SOON)
    with resources.database.transaction() as session:
        spoilt = update(Notification).where(Notification.user_id == ann).values(data={"ends_at": 10**30})
        # The application may not change what it has told; the owner of the tables may.
        session.execute(text("SET LOCAL ROLE NONE"))
        session.execute(spoilt)
    tell(resources, ben, Event.WON)
    with capture_logs() as logs:
        push_due(resources)
    assert [pushed.body["event"] for pushed in push_service.received] == ["won"]
    assert [(entry["event"], entry["reason"]) for entry in logs] == [
        ("notifications_not_sent", "OverflowError")
    ]


def test_only_one_run_pushes_at_a_time(resources: Resources, push_service: PushService) -> None:
    ann = a_reader(resources)
    subscribe(resources, push_service, ann)
    tell(resources, ann, Event.WON)
    resources.hot.client.set(RUNNING, 1)
    push_due(resources)
    assert push_service.received == []
    resources.hot.client.delete(RUNNING)
    push_due(resources)
    assert len(push_service.received) == 1
    assert not resources.hot.client.exists(RUNNING)


def test_many_users_are_told_in_several_batches(
    resources: Resources, push_service: PushService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_deliveries, "AT_ONCE", 3)
    for _ in range(7):
        ann = a_reader(resources)
        subscribe(resources, push_service, ann)
        tell(resources, ann, Event.WON)
    push_due(resources)
    assert len(push_service.received) == 7


def test_in_production_a_browser_inside_is_never_asked(
    resources: Resources, push_service: PushService
) -> None:
    ann = a_reader(resources)
    subscribe(resources, push_service, ann)
    tell(resources, ann, Event.WON)
    with capture_logs() as logs:
        push_due(replace(resources, web_push=replace(resources.web_push, private_allowed=False)))
    assert push_service.requests == 0
    assert [entry["reason"] for entry in logs] == ["PrivateAddress"]


@pytest.mark.usefixtures("some_regions")
def test_an_outbid_neighbour_is_notified_of_that_and_of_how_it_ended(
    by_smtp: Resources, mailbox: Mailbox
) -> None:
    with by_smtp.database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        (ann, _), (ben, _) = make_neighbour(session, 50_000), make_neighbour(session, 50_000)
        neighbourhood.place(session, ann, auction.id, "ann", 3_000)
        neighbourhood.place(session, ben, auction.id, "ben", 9_000)
    send(by_smtp)
    [message] = mailbox.received
    assert (message["To"], message["Subject"]) == (
        address_of(by_smtp, ann),
        "You were outbid: “A bicycle”",
    )
    assert "Price: ₩3,100" in parts(message)[0]
    assert f"{URL}/#/auctions/{auction.id}" in parts(message)[0]

    with by_smtp.database.transaction() as session:
        ended = {"opens_at": func.now() - timedelta(hours=2), "ends_at": func.now()}
        session.execute(update(Auction).where(Auction.id == auction.id).values(**ended))
    end_due(by_smtp)
    send(by_smtp)
    subjects = {message["To"]: message["Subject"] for message in mailbox.received[1:]}
    assert subjects == {
        address_of(by_smtp, ben): "You won: “A bicycle”",
        address_of(by_smtp, auction.seller_id): "Sold: “A bicycle”",
    }


def test_a_bidder_outbid_in_a_live_auction_is_notified_by_the_browser(
    resources: Resources, stage: Stage, push_service: PushService
) -> None:
    auction = stage.auction()
    ann, ben = stage.bidder(auction), stage.bidder(auction)
    subscribe(resources, push_service, ann)
    for maximum in (2_000, 4_000):
        stage.bid(auction, ann, maximum)
        stage.bid(auction, ben, maximum + 1_000)
    for _ in range(2):
        write_back_logs(resources)
        push_due(resources)
    [pushed] = push_service.received
    assert (pushed.body["event"], pushed.body["count"]) == ("outbid", 1)
    assert "Price: ₩4,100" in pushed.body["body"]
