"""What mails say, in the language of their reader. Nothing in them was written by a user: whoever registers with a
stranger's address must not choose what the stranger reads."""

from datetime import UTC, datetime

from store.models import AccountEmailKind, Language

SUBJECTS: dict[AccountEmailKind, dict[Language, str]] = {
    AccountEmailKind.VERIFY: {
        Language.ENGLISH: "Please confirm your e-mail address",
        Language.KOREAN: "이메일 주소를 확인해 주세요",
    },
    AccountEmailKind.RESET: {
        Language.ENGLISH: "A new password for your account",
        Language.KOREAN: "비밀번호 재설정 안내",
    },
    AccountEmailKind.ADDRESS_TAKEN: {
        Language.ENGLISH: "You have an account already",
        Language.KOREAN: "이미 가입된 이메일 주소입니다",
    },
    AccountEmailKind.PASSWORD_CHANGED: {
        Language.ENGLISH: "Your password was changed",
        Language.KOREAN: "비밀번호가 변경되었습니다",
    },
}

TEXTS: dict[AccountEmailKind, dict[Language, str]] = {
    AccountEmailKind.VERIFY: {
        Language.ENGLISH: """\
Welcome to NeighborBid! Please confirm that this is your e-mail address:

{url}/#/verify?token={token}

or enter this code within 24 hours:

{token}

If you have not registered, you need not do anything.
""",
        Language.KOREAN: """\
NeighborBid에 오신 것을 환영합니다! 아래 링크를 열어 이메일 주소를 확인해 주세요.

{url}/#/verify?token={token}

또는 24시간 안에 다음 코드를 입력해 주세요.

{token}

가입하신 적이 없다면 아무것도 하지 않으셔도 됩니다.
""",
    },
    AccountEmailKind.RESET: {
        Language.ENGLISH: """\
Somebody, probably you, has forgotten the password of your NeighborBid account. Choose a new one:

{url}/#/reset?token={token}

or enter this code within 30 minutes:

{token}

If it was not you, you need not do anything: your password stays as it is.
""",
        Language.KOREAN: """\
NeighborBid 계정의 비밀번호 재설정 요청이 있었습니다. 아래 링크에서 새 비밀번호를 정해 주세요.

{url}/#/reset?token={token}

또는 30분 안에 다음 코드를 입력해 주세요.

{token}

요청하신 적이 없다면 아무것도 하지 않으셔도 됩니다. 비밀번호는 그대로입니다.
""",
    },
    AccountEmailKind.ADDRESS_TAKEN: {
        Language.ENGLISH: """\
Somebody has tried to register at NeighborBid with this e-mail address, which has an account already.

If it was you: log in, or ask for a new password, at

{url}/

If it was not you, you need not do anything: nobody got into your account.
""",
        Language.KOREAN: """\
이미 가입된 이 이메일 주소로 NeighborBid에 가입하려는 시도가 있었습니다.

본인이라면 아래에서 로그인하거나 비밀번호를 재설정해 주세요.

{url}/

본인이 아니라면 아무것도 하지 않으셔도 됩니다. 계정은 안전합니다.
""",
    },
    AccountEmailKind.PASSWORD_CHANGED: {
        Language.ENGLISH: """\
The password of your NeighborBid account was changed on {day} at {time} UTC.

If it was not you, ask for a new password at once:

{url}/#/forgot
""",
        Language.KOREAN: """\
NeighborBid 계정의 비밀번호가 {day} {time}(UTC)에 변경되었습니다.

본인이 아니라면 지금 바로 비밀번호를 재설정해 주세요.

{url}/#/forgot
""",
    },
}


def subject(kind: AccountEmailKind, language: Language) -> str:
    """The subject, on one line."""
    return SUBJECTS[kind][language]


def text(kind: AccountEmailKind, language: Language, url: str, token: str | None, caused_at: datetime) -> str:
    """The plain text. `url` is where people find NeighborBid; the token stands behind a # there: no server logs it."""
    at = caused_at.astimezone(UTC)
    return TEXTS[kind][language].format(url=url, token=token, day=f"{at:%Y-%m-%d}", time=f"{at:%H:%M}")
