"""What notifications say in the language of their reader, in the list, on sockets, by e-mail and Web Push: one table of
texts.

Titles, names and the like were written by users: each becomes one short line, in quotation marks, and HTML escapes it.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from market.times import from_ms
from store.models import SECURITY, Event, Language

LONGEST_LINE = 80
LONGEST_TEXT = 1_000
"""Characters of what a user, or one of us, has written: in a subject, and anywhere else."""

LONGEST_PUSH = 400
"""Characters of the body of a Web Push message: with the rest it must fit into some 4,000 bytes."""

SHOWN = 30
"""So many notifications stand in one e-mail, which then says how many more there are."""


@dataclass(frozen=True, slots=True)
class Text:
    """`subject` may stand alone, and `line` explains it. `{title}` is what it is about, in quotation marks."""

    subject: str
    line: str


class Said(Protocol):
    """What a notification's words come from."""

    @property
    def event(self) -> Event: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def auction_id(self) -> UUID | None: ...
    @property
    def order_id(self) -> UUID | None: ...


@dataclass(frozen=True, slots=True)
class OutgoingNotification:
    """A notification to be sent by e-mail or Web Push."""

    id: UUID
    event: Event
    data: Mapping[str, Any]
    auction_id: UUID | None
    order_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Locale:
    """The language and the time zone of a reader."""

    language: Language
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Shown:
    """A notification in words. `facts` are pairs of a name and a value; `link` is the path where more stands."""

    subject: str
    line: str
    facts: list[tuple[str, str]]
    link: str

    @property
    def body(self) -> str:
        """All but the subject, as lines of plain text."""
        return "\n".join([self.line, *(f"{name}: {value}" for name, value in self.facts)])


EN, KO = Language.ENGLISH, Language.KOREAN

TEXTS: dict[Event, dict[Language, Text]] = {
    Event.OUTBID: {
        EN: Text("You were outbid: {title}", "Someone has placed a higher bid on {title}."),
        KO: Text("더 높은 입찰이 있습니다: {title}", "{title}에 더 높은 금액의 입찰이 들어왔습니다."),
    },
    Event.LEADING: {
        EN: Text("You are leading again: {title}", "Your bid on {title} is the highest again."),
        KO: Text("다시 최고 입찰자입니다: {title}", "{title} 경매에서 다시 최고 입찰자가 되었습니다."),
    },
    Event.RESERVE_MET: {
        EN: Text("Reserve met: {title}", "Bidding on {title} has reached your reserve."),
        KO: Text("최저 낙찰가 도달: {title}", "{title} 경매의 입찰가가 최저 낙찰가에 도달했습니다."),
    },
    Event.OPENED: {
        EN: Text("Open for bids: {title}", "The auction of {title} has begun."),
        KO: Text("경매 시작: {title}", "{title} 경매가 시작되었습니다."),
    },
    Event.ENDING_SOON: {
        EN: Text("Ending soon: {title}", "The auction of {title} ends soon."),
        KO: Text("마감 임박: {title}", "{title} 경매가 곧 마감됩니다."),
    },
    Event.EXTENDED: {
        EN: Text("Extended: {title}", "The auction of {title} ends later than planned."),
        KO: Text("마감 연장: {title}", "{title} 경매의 마감 시간이 연장되었습니다."),
    },
    Event.WON: {
        EN: Text("You won: {title}", "{title} is yours. Arrange with the seller how to receive it."),
        KO: Text(
            "낙찰되었습니다: {title}",
            "{title} 경매의 낙찰을 축하드립니다. 판매자와 수령 방법을 정해 주세요.",
        ),
    },
    Event.LOST: {
        EN: Text(
            "You did not win: {title}",
            "{title} was sold to another bidder. The money held for your bid is available again.",
        ),
        KO: Text(
            "낙찰받지 못했습니다: {title}",
            "{title} 경매에서 다른 분이 낙찰받았습니다. 입찰로 묶여 있던 금액은 다시 사용하실 수 있습니다.",
        ),
    },
    Event.SOLD: {
        EN: Text("Sold: {title}", "{title} is sold. Arrange with the buyer how to hand it over."),
        KO: Text(
            "판매되었습니다: {title}",
            "{title} 경매가 낙찰되어 판매가 성사되었습니다. 구매자와 전달 방법을 정해 주세요.",
        ),
    },
    Event.UNSOLD: {
        EN: Text("Not sold: {title}", "The auction of {title} has ended without a sale."),
        KO: Text("유찰되었습니다: {title}", "{title} 경매가 낙찰자 없이 종료되었습니다."),
    },
    Event.CANCELLED: {
        EN: Text("Cancelled: {title}", "The auction of {title} was cancelled, and all bids on it are void."),
        KO: Text("경매 취소: {title}", "{title} 경매가 취소되어 모든 입찰이 무효가 되었습니다."),
    },
    Event.QUESTION: {
        EN: Text("A question about {title}", "Someone has asked you a question about {title}."),
        KO: Text("상품 문의: {title}", "{title}에 대한 문의가 등록되었습니다."),
    },
    Event.ANSWER: {
        EN: Text("An answer about {title}", "The seller has answered your question about {title}."),
        KO: Text("문의 답변: {title}", "{title}에 대한 문의에 판매자가 답변했습니다."),
    },
    Event.HANDOVER_PROPOSED: {
        EN: Text(
            "Proposed place and time: {title}", "A place and time to hand over {title} have been proposed."
        ),
        KO: Text("직거래 약속 제안: {title}", "{title}의 직거래 장소와 시간이 제안되었습니다."),
    },
    Event.HANDOVER_AGREED: {
        EN: Text("Place and time agreed: {title}", "The place and time to hand over {title} are agreed."),
        KO: Text("직거래 약속 확정: {title}", "{title}의 직거래 장소와 시간이 정해졌습니다."),
    },
    Event.ORDER_HAND_OVER: {
        EN: Text("Handed over: {title}", "{title} was handed over, and the seller has been paid."),
        KO: Text("전달 완료: {title}", "{title} 거래의 전달이 완료되어 판매자에게 대금이 지급되었습니다."),
    },
    Event.ORDER_REPORT_NO_SHOW: {
        EN: Text(
            "Reported as a no-show: {title}",
            "The other party reports that you did not come to the handover of {title}. If you did, contest it.",
        ),
        KO: Text(
            "약속 불참 신고: {title}",
            "거래 상대가 회원님이 {title} 직거래 약속에 나오지 않았다고 신고했습니다. 사실이 아니라면 이의를 제기해"
            " 주세요.",
        ),
    },
    Event.ORDER_CONTEST: {
        EN: Text(
            "No-show contested: {title}",
            "The other party says that they did come to the handover of {title}. A moderator will review it.",
        ),
        KO: Text(
            "이의 제기: {title}",
            "거래 상대가 {title} 거래의 불참 신고에 이의를 제기했습니다. 운영자가 확인할 예정입니다.",
        ),
    },
    Event.ORDER_SHIP: {
        EN: Text("On its way: {title}", "The seller has shipped {title}."),
        KO: Text("발송되었습니다: {title}", "판매자가 {title} 발송을 완료했습니다."),
    },
    Event.ORDER_CONFIRM: {
        EN: Text("Receipt confirmed: {title}", "The buyer has received {title}, and you have been paid."),
        KO: Text("구매 확정: {title}", "구매자가 {title} 수령을 확인하여 대금이 지급되었습니다."),
    },
    Event.ORDER_REPORT_PROBLEM: {
        EN: Text("A problem with {title}", "The buyer has reported a problem with {title}."),
        KO: Text("문제 신고: {title}", "구매자가 {title} 거래에 문제가 있다고 신고했습니다."),
    },
    Event.ORDER_REFUND: {
        EN: Text("Refunded: {title}", "The money for {title} was refunded to the buyer."),
        KO: Text("환불되었습니다: {title}", "{title}의 대금이 구매자에게 환불되었습니다."),
    },
    Event.ORDER_TIME_OUT: {
        EN: Text(
            "Deadline passed: {title}", "A deadline has passed, so the order of {title} moved on by itself."
        ),
        KO: Text("기한 만료: {title}", "기한이 지나 {title} 주문이 자동으로 처리되었습니다."),
    },
    Event.ORDER_DECIDE_FOR_SELLER: {
        EN: Text(
            "Decided for the seller: {title}",
            "A moderator has decided that the money for {title} goes to the seller.",
        ),
        KO: Text(
            "분쟁 결과, 판매자에게 지급: {title}",
            "운영자가 {title}의 대금을 판매자에게 지급하기로 결정했습니다.",
        ),
    },
    Event.ORDER_DECIDE_FOR_BUYER: {
        EN: Text(
            "Decided for the buyer: {title}",
            "A moderator has decided that the money for {title} goes back to the buyer.",
        ),
        KO: Text(
            "분쟁 결과, 구매자에게 환불: {title}",
            "운영자가 {title}의 대금을 구매자에게 환불하기로 결정했습니다.",
        ),
    },
    Event.REVIEW: {
        EN: Text("A review for you: {title}", "The other party has reviewed the sale of {title}."),
        KO: Text("거래 후기: {title}", "거래 상대가 {title} 거래의 후기를 남겼습니다."),
    },
    Event.LOGIN: {
        EN: Text(
            "New log-in to your account",
            "Someone logged in to your account from a new device or place. If it was not you, change your password"
            " now.",
        ),
        KO: Text(
            "새로운 로그인 알림",
            "새로운 기기나 위치에서 계정에 로그인했습니다. 본인이 아니라면 지금 바로 비밀번호를 변경해 주세요.",
        ),
    },
    Event.SESSION_STOLEN: {
        EN: Text(
            "We ended one of your sessions",
            "A log-in key of yours was used a second time and may have been copied, so we ended that session. Log in"
            " again, and change your password if you do not know why this happened.",
        ),
        KO: Text(
            "로그인 하나를 종료했습니다",
            "이미 사용된 로그인 키가 다시 사용되어, 도용에 대비해 해당 로그인을 종료했습니다. 다시 로그인해 주시고,"
            " 짐작되는 이유가 없다면 비밀번호를 변경해 주세요.",
        ),
    },
    Event.PASSWORD_CHANGED: {
        EN: Text(
            "Your password was changed",
            "The password of your account was changed. If it was not you, reset your password now.",
        ),
        KO: Text(
            "비밀번호가 변경되었습니다",
            "계정의 비밀번호가 변경되었습니다. 본인이 아니라면 지금 바로 비밀번호를 재설정해 주세요.",
        ),
    },
    Event.SECOND_FACTOR_CHANGED: {
        EN: Text(
            "Your two-factor authentication was changed",
            "Two-factor authentication was turned on or off for your account, or has new recovery codes. If it was not"
            " you, change your password now.",
        ),
        KO: Text(
            "2단계 인증이 변경되었습니다",
            "계정의 2단계 인증 설정 또는 복구 코드가 변경되었습니다. 본인이 아니라면 지금 바로 비밀번호를 변경해"
            " 주세요.",
        ),
    },
    Event.ANNOUNCEMENT: {
        EN: Text("Announcement from NeighborBid: {title}", "NeighborBid has an announcement: {title}."),
        KO: Text("NeighborBid 공지: {title}", "새로운 공지가 있습니다: {title}"),
    },
    Event.WARNING: {
        EN: Text("A warning from NeighborBid", "A moderator has reviewed your activity and warns you."),
        KO: Text("NeighborBid 경고", "운영자가 회원님의 활동을 검토하고 경고를 보냈습니다."),
    },
    Event.SUSPENDED: {
        EN: Text(
            "Your account is suspended",
            "A moderator has suspended your account: you can browse, but not bid or sell. Bids and sales that you have"
            " already made remain binding.",
        ),
        KO: Text(
            "계정 이용이 정지되었습니다",
            "운영자가 회원님의 계정을 정지하여 둘러보기만 가능하며 입찰과 판매는 하실 수 없습니다. 이미 하신 입찰과"
            " 판매는 그대로 유효합니다.",
        ),
    },
    Event.MESSAGE: {
        EN: Text("New message: {title}", "The other party to your order of {title} has sent you a message."),
        KO: Text("새 메시지: {title}", "{title}의 거래 상대가 메시지를 보냈습니다."),
    },
    Event.DISPUTE: {
        EN: Text("Your dispute was updated: {title}", "There is an update in the dispute about {title}."),
        KO: Text("분쟁 진행 알림: {title}", "{title} 거래의 분쟁에 새로운 내용이 있습니다."),
    },
}

WITHOUT_TITLE = {EN: "an item", KO: "해당 상품"}
SEVERAL = {EN: "{count} notifications: {first}", KO: "알림 {count}건: {first}"}

WORDS: dict[Language, dict[str, str]] = {
    EN: {
        "open": "Open",
        "more": "And {count} more on NeighborBid.",
        "why": "You receive this e-mail because of your notification settings on NeighborBid.",
        "security": "You receive this e-mail because it concerns the security of your account.",
        "unsubscribe": "Stop e-mails like this",
    },
    KO: {
        "open": "자세히 보기",
        "more": "그 밖에 {count}건의 알림이 더 있습니다.",
        "why": "NeighborBid 알림 설정에 따라 보내 드리는 메일입니다.",
        "security": "계정 보안을 위해 보내 드리는 메일입니다.",
        "unsubscribe": "이런 메일 그만 받기",
    },
}


def _line(value: object, longest: int = LONGEST_LINE) -> str:
    """What a user wrote, as one line: it cannot end its quotation or turn the direction of the text after it."""
    visible = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co") else char
        for char in str(value)[: 2 * longest]
    )
    text = re.sub(r"\s+", " ", re.sub('["“”]', "'", visible)).strip()
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def _amount(value: object, _locale: Locale) -> str:
    return f"₩{value:,}" if isinstance(value, int) else ""


def _time(value: object, locale: Locale) -> str:
    return f"{from_ms(value).astimezone(locale.zone):%Y-%m-%d %H:%M %Z}" if isinstance(value, int) else ""


def _words(value: object, _locale: Locale) -> str:
    return _line(value, LONGEST_TEXT)


FACTS: dict[str, tuple[dict[Language, str], Callable[[object, Locale], str]]] = {
    "price": ({EN: "Price", KO: "가격"}, _amount),
    "ends_at": ({EN: "Ends", KO: "마감"}, _time),
    "place": ({EN: "Place", KO: "장소"}, _words),
    "meet_at": ({EN: "Time", KO: "시간"}, _time),
    "stars": ({EN: "Rating", KO: "별점"}, _words),
    "until": ({EN: "Until", KO: "정지 기한"}, _time),
    "reason": ({EN: "Reason", KO: "사유"}, _words),
    "text": ({EN: "Message", KO: "내용"}, _words),
}
"""What is shown of a notification's data besides its `title`: amounts in minor units, times in ms."""


def shown(said: Said, locale: Locale) -> Shown:
    """A notification in words. Data that is missing is left out."""
    text = TEXTS[said.event][locale.language]
    written = said.data.get("title") or ""

    def title(longest: int) -> str:
        name = _line(written, longest)
        return f"“{name}”" if name else WITHOUT_TITLE[locale.language]

    facts = [
        (label[locale.language], value)
        for key, (label, write) in FACTS.items()
        if said.data.get(key) is not None and (value := write(said.data[key], locale))
    ]
    return Shown(
        text.subject.format(title=title(LONGEST_LINE)),
        text.line.format(title=title(LONGEST_TEXT)),
        facts,
        _link(said),
    )


def _link(said: Said) -> str:
    """The place behind the # of the page."""
    if said.order_id is not None:
        return f"/#/orders/{said.order_id}"
    if said.auction_id is not None:
        return f"/#/auctions/{said.auction_id}"
    return "/#/sessions" if said.event in SECURITY else "/#/notifications"


class PushMessage(msgspec.Struct, frozen=True):
    """The payload of Web Push about `count` notifications, the newest of which it shows."""

    id: UUID
    event: Event
    title: str
    body: str
    url: str
    count: int


def push_message(notices: Sequence[OutgoingNotification], locale: Locale, url: str) -> PushMessage:
    """One Web Push message about all of them. `url` as for `body`."""
    newest = shown(notices[0], locale)
    return PushMessage(
        notices[0].id,
        notices[0].event,
        subject(notices, locale),
        newest.body[:LONGEST_PUSH],
        url + newest.link,
        len(notices),
    )


def subject(notices: Sequence[OutgoingNotification], locale: Locale) -> str:
    """One line about all of them, the first of which matters most."""
    first = shown(notices[0], locale).subject
    if len(notices) == 1:
        return first
    return SEVERAL[locale.language].format(count=len(notices), first=first)


_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def body(
    template: str, notices: Sequence[OutgoingNotification], locale: Locale, url: str, unsubscribe: str | None
) -> str:
    """The e-mail by `template` (`notices.txt` or `notices.html`). `url` is where people find NeighborBid, `unsubscribe`
    the address that ends such e-mails; None where nothing can."""
    return _templates.get_template(template).render(
        notices=[shown(notice, locale) for notice in notices[:SHOWN]],
        more=max(0, len(notices) - SHOWN),
        words=WORDS[locale.language],
        language=locale.language,
        url=url,
        unsubscribe=unsubscribe,
    )
