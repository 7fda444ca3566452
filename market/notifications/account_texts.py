"""What e-mails about an account say, in the language of their reader. No user writes any of it: to register with a
stranger's address must not be a way of writing to the stranger."""

from datetime import UTC, datetime

from store.models import AccountEmailKind, Language

SUBJECTS: dict[AccountEmailKind, dict[Language, str]] = {
    AccountEmailKind.VERIFY: {
        Language.ENGLISH: "Please confirm your e-mail address",
        Language.KOREAN: "이메일 주소를 확인해 주세요",
    },
    AccountEmailKind.RESET: {
        Language.ENGLISH: "Reset your password",
        Language.KOREAN: "비밀번호 재설정 안내",
    },
    AccountEmailKind.ADDRESS_TAKEN: {
        Language.ENGLISH: "You already have an account",
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
Welcome to NeighborBid! To confirm your e-mail address, open this link:

{url}/#/verify?token={token}

Or enter this code within 24 hours:

{token}

If you did not sign up, you can ignore this e-mail.
""",
        Language.KOREAN: """\
NeighborBid에 오신 것을 환영합니다! 아래 링크를 열어 이메일 주소를 확인해 주세요.

{url}/#/verify?token={token}

또는 24시간 이내에 다음 코드를 입력해 주세요.

{token}

가입하신 적이 없다면 이 메일을 무시하셔도 됩니다.
""",
    },
    AccountEmailKind.RESET: {
        Language.ENGLISH: """\
We received a request to reset the password of your NeighborBid account. To choose a new one, open this link:

{url}/#/reset?token={token}

Or enter this code within 30 minutes:

{token}

If it was not you, you can ignore this e-mail: your password stays the same.
""",
        Language.KOREAN: """\
NeighborBid 계정의 비밀번호 재설정 요청을 받았습니다. 아래 링크에서 새 비밀번호를 설정해 주세요.

{url}/#/reset?token={token}

또는 30분 이내에 다음 코드를 입력해 주세요.

{token}

요청하신 적이 없다면 이 메일을 무시하셔도 됩니다. 비밀번호는 변경되지 않습니다.
""",
    },
    AccountEmailKind.ADDRESS_TAKEN: {
        Language.ENGLISH: """\
Someone tried to sign up to NeighborBid with your e-mail address, but you already have an account.

If it was you, log in or reset your password here:

{url}/

If it was not you, you can ignore this e-mail: your account is safe.
""",
        Language.KOREAN: """\
회원님의 이메일 주소로 NeighborBid에 다시 가입하려는 시도가 있었습니다. 이미 가입된 주소입니다.

본인이라면 아래 링크에서 로그인하거나 비밀번호를 재설정해 주세요.

{url}/

본인이 아니라면 이 메일을 무시하셔도 됩니다. 계정은 안전합니다.
""",
    },
    AccountEmailKind.PASSWORD_CHANGED: {
        Language.ENGLISH: """\
The password of your NeighborBid account was changed on {day} at {time} UTC.

If it was not you, reset your password now:

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
