"""What is refused about orders."""

from http import HTTPStatus

from market.errors import RefusalCode


class OrderRefusal(RefusalCode):
    """Why an order cannot go on like this."""

    DELIVERY_NOT_OFFERED = (
        "delivery_not_offered",
        HTTPStatus.CONFLICT,
        "The seller does not offer this kind of delivery. Choose one that is offered.",
    )
    STALE_PROPOSAL = (
        "stale_proposal",
        HTTPStatus.CONFLICT,
        "This proposal no longer stands. Look at the current one.",
    )
    WRONG_CODE = (
        "wrong_code",
        HTTPStatus.CONFLICT,
        "This is not the buyer's current code. Ask the buyer for it again.",
    )
    CODE_LOCKED = "code_locked", HTTPStatus.CONFLICT, "Too many wrong codes. Try again later."
    TOO_MANY_TRIES = (
        "too_many_tries",
        HTTPStatus.CONFLICT,
        "Too many wrong codes. Agree on the handover anew to get a new code.",
    )
    TOO_EARLY = (
        "too_early",
        HTTPStatus.CONFLICT,
        "The other party may still come. Wait a little longer before you report it.",
    )
    ALREADY_REVIEWED = "already_reviewed", HTTPStatus.CONFLICT, "You have already reviewed this order."
    REVIEW_CLOSED = "review_closed", HTTPStatus.CONFLICT, "The time to review this order is over."
