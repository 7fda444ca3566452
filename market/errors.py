"""How a use-case says no. The codes of a noun stand in its `refusals.py`; those that many nouns share stand here."""

from enum import StrEnum
from http import HTTPStatus
from typing import Self


class RefusalCode(StrEnum):
    """The base of all codes of refusals: a member is its code, a part of the API that never changes its meaning.

    `status` is how REST answers it; what has INTERNAL_SERVER_ERROR is a fault of ours, of which clients learn nothing
    more. `detail` says in at most two sentences, to the person who is refused, what is wrong and what to do.
    """

    status: HTTPStatus
    detail: str

    def __new__(cls, code: str, status: HTTPStatus, detail: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.detail = detail
        return member


class GeneralRefusal(RefusalCode):
    """What may be refused whatever it is about."""

    UNAUTHENTICATED = (
        "unauthenticated",
        HTTPStatus.UNAUTHORIZED,
        "You are not logged in. Log in and try again.",
    )
    FORBIDDEN = "forbidden", HTTPStatus.FORBIDDEN, "You are not allowed to do this."
    OWN_PROPOSAL = (
        "own_proposal",
        HTTPStatus.FORBIDDEN,
        "You cannot accept your own proposal. Somebody else must do it.",
    )
    NOT_FOUND = "not_found", HTTPStatus.NOT_FOUND, "We could not find what you asked for."
    WRONG_STATE = (
        "wrong_state",
        HTTPStatus.CONFLICT,
        "This is not possible in the current state. Load it again to see what is.",
    )
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency_key_reused",
        HTTPStatus.CONFLICT,
        "This key was already used for a different request. Use a new one.",
    )
    IDEMPOTENCY_IN_FLIGHT = (
        "idempotency_in_flight",
        HTTPStatus.CONFLICT,
        "The first request with this key is still running. Try again in a moment.",
    )
    PRECONDITION_FAILED = (
        "precondition_failed",
        HTTPStatus.PRECONDITION_FAILED,
        "This has been changed in the meantime. Load it again, then edit the new version.",
    )
    INVALID_QUERY = (
        "invalid_query",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Some of the parameters are not valid. Correct them and try again.",
    )
    INVALID_CURSOR = (
        "invalid_cursor",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This cursor did not come from this list. Start again from the first page.",
    )
    INVALID_TIME = (
        "invalid_time",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This time is not allowed. Choose another.",
    )
    INVALID_TOKEN = (
        "invalid_token",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "This link is not valid. It may have expired or been used already.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "Something went wrong on our side. If you report it, include the request id.",
    )
    UNAVAILABLE = (
        "unavailable",
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Part of the service is unavailable. Check whether your request went through, then try again.",
    )


class Refusal(Exception):
    """A request that the rules do not allow. The transaction must be rolled back; the doors translate `code`.

    `detail` replaces the text of the code where the place knows more; `fields` are facts that belong to the refusal,
    such as the field that was wrong. Neither ever holds a secret.
    """

    def __init__(self, code: RefusalCode, detail: str | None = None, /, **fields: object) -> None:
        self.code = code
        self.detail = code.detail if detail is None else detail
        self.fields = fields
        super().__init__(code, self.detail)
