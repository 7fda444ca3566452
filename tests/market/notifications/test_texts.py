"""What e-mails and Web Push say: every event in every language, and nothing that a user could break out with."""

from datetime import UTC, datetime
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from market.notifications import texts
from market.notifications.texts import (
    FACTS,
    LONGEST_LINE,
    LONGEST_TEXT,
    SHOWN,
    TEXTS,
    Locale,
    OutgoingNotification,
    body,
    shown,
    subject,
)
from store.ids import new_id
from store.models import Event, Language

SEOUL = ZoneInfo("Asia/Seoul")
ENGLISH, KOREAN = Locale(Language.ENGLISH, SEOUL), Locale(Language.KOREAN, SEOUL)
URL, END = "https://bid.example", "https://bid.example/#/unsubscribe?token=x"
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def a_notice(event: Event = Event.OUTBID, **data: Any) -> OutgoingNotification:
    return OutgoingNotification(new_id(), event, data, new_id(), None, NOW)


def is_korean(text: str) -> bool:
    return any("가" <= letter <= "힣" for letter in text)


@pytest.mark.parametrize(("event", "language"), list(product(Event, Language)))
def test_every_event_has_a_text_in_every_language(event: Event, language: Language) -> None:
    locale = Locale(language, SEOUL)
    notice = a_notice(event, title="Bicycle")
    words = shown(notice, locale)
    assert is_korean(words.subject) is is_korean(words.line) is (language is Language.KOREAN)
    for template in ("notices.txt", "notices.html"):
        for end in (END, None):
            text = body(template, [notice], locale, URL, end)
            assert is_korean(text) is (language is Language.KOREAN)
            assert "{" not in text.replace("{font", "")
            assert "None" not in text
            assert (END in text) is (end is not None)
    assert len(words.subject) <= 78
    assert "\n" not in words.subject


def test_no_two_events_say_the_same() -> None:
    for language in Language:
        subjects = [by_language[language].subject for by_language in TEXTS.values()]
        assert len(set(subjects)) == len(subjects) == len(Event)


@pytest.mark.parametrize("event", Event)
def test_data_that_is_missing_or_of_another_kind_does_not_stop_a_mail(event: Event) -> None:
    assert shown(a_notice(event, **dict.fromkeys(FACTS)), ENGLISH).facts == []
    for data in ({}, {key: {"a": [1]} for key in ["title", *FACTS]}):
        assert shown(a_notice(event, **data), ENGLISH).subject


def test_what_is_told_beside_the_title_is_in_the_readers_words_and_clock() -> None:
    notice = a_notice(price=52_000, ends_at=1_795_253_400_000, place="The fountain")
    assert shown(notice, ENGLISH).facts == [
        ("Price", "₩52,000"),
        ("Ends", "2026-11-21 18:30 KST"),
        ("Place", "The fountain"),
    ]
    assert shown(notice, Locale(Language.KOREAN, ZoneInfo("UTC"))).facts[:2] == [
        ("가격", "₩52,000"),
        ("마감", "2026-11-21 09:30 UTC"),
    ]


def test_the_link_leads_to_what_it_is_about() -> None:
    auction, order = new_id(), new_id()
    of_auction = OutgoingNotification(new_id(), Event.WON, {}, auction, None, NOW)
    of_order = OutgoingNotification(new_id(), Event.ORDER_SHIP, {}, auction, order, NOW)
    assert shown(of_auction, ENGLISH).link == f"/#/auctions/{auction}"
    assert shown(of_order, ENGLISH).link == f"/#/orders/{order}"
    assert (
        shown(OutgoingNotification(new_id(), Event.LOGIN, {}, None, None, NOW), ENGLISH).link == "/#/sessions"
    )


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</p><a href='https://evil.example'>Log in</a>",
    "{{ 7 * 7 }} {% raw %} {0} {title.__class__}",
]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_title_is_text_and_nothing_else(title: str) -> None:
    notice = a_notice(Event.ANNOUNCEMENT, title=title, text=title)
    html = body("notices.html", [notice], ENGLISH, URL, END)
    assert html.count("<a ") == 2
    assert not {"<script", "<img", "onerror=alert(1)>"} & {part for part in HOSTILE if part in html}
    assert "<script" not in html
    assert "<img" not in html
    assert html.count("{{ 7 * 7 }}") == 2 * title.count("{{")
    assert "class 'str'" not in html


@pytest.mark.parametrize(
    "title",
    [
        "a\r\nBcc: everybody@example.org",
        "a\n\n\nYour account is blocked.\n",
        "a\u2028b\u2029c\x00d\x85e",
        "\u202egnp.exe",
        "\u200b\u2066hidden\u2069",
    ],
)
def test_a_title_stays_on_its_line(title: str) -> None:
    words = shown(a_notice(title=title), ENGLISH)
    for text in (words.subject, words.line):
        assert len(text.splitlines()) == 1
        assert text.isprintable()


def test_a_title_cannot_end_its_quotation() -> None:
    words = shown(a_notice(title='x”. NeighborBid asks: “y" z'), ENGLISH)
    assert words.line == "Someone has placed a higher bid on “x'. NeighborBid asks: 'y' z”."


def test_what_users_wrote_is_limited() -> None:
    words = shown(a_notice(title="긴" * 10_000, text="x" * 100_000), KOREAN)
    assert len(words.subject) < LONGEST_LINE + 40
    assert len(words.facts[0][1]) == LONGEST_TEXT
    assert words.facts[0][1].endswith("…")


def test_many_are_one_mail_with_one_subject() -> None:
    many = [a_notice(title=f"Lot {n}") for n in range(SHOWN + 20)]
    assert subject(many[:1], ENGLISH) == "You were outbid: “Lot 0”"
    assert subject(many, ENGLISH) == "50 notifications: You were outbid: “Lot 0”"
    assert subject(many, KOREAN).startswith("알림 50건: ")
    text = body("notices.txt", many, ENGLISH, URL, END)
    assert text.count("Someone has placed a higher bid") == SHOWN
    assert "And 20 more on NeighborBid." in text


def test_a_text_is_plain() -> None:
    notice = a_notice(title="Bicycle & <chain>", price=1_000)
    text = body("notices.txt", [notice], ENGLISH, URL, END)
    assert text == (
        "Someone has placed a higher bid on “Bicycle & <chain>”.\n"
        "Price: ₩1,000\n"
        f"{URL}/#/auctions/{notice.auction_id}\n"
        "\n"
        "-- \n"
        f"{texts.WORDS[Language.ENGLISH]['why']}\n"
        f"Stop e-mails like this: {END}\n"
    )


def test_an_announcement_is_told_whole_with_a_short_subject() -> None:
    announced = "공지 " * 160 + "끝"
    words = shown(a_notice(Event.ANNOUNCEMENT, title=announced), KOREAN)
    assert announced in words.line
    assert len(words.subject) < LONGEST_LINE + 40
