"""What is refused about money."""

from http import HTTPStatus

from market.errors import RefusalCode
from market.rules import MAX_AMOUNT


class MoneyRefusal(RefusalCode):
    """Why money cannot be moved."""

    INVALID_AMOUNT = (
        "invalid_amount",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"An amount must be a whole number from 1 to {MAX_AMOUNT}.",
    )
    INSUFFICIENT_FUNDS = (
        "insufficient_funds",
        HTTPStatus.CONFLICT,
        "There is not enough money in your wallet. Top it up first.",
    )
    BALANCE_TOO_LARGE = "balance_too_large", HTTPStatus.CONFLICT, "A wallet cannot hold that much money."
    TRANSFER_CONFLICT = (
        "transfer_conflict",
        HTTPStatus.CONFLICT,
        "This id was already used for something else. Use a new one.",
    )
    HOLD_RESOLVED = (
        "hold_resolved",
        HTTPStatus.CONFLICT,
        "The held money has been released or spent in the meantime. Load it again.",
    )
    HOLD_EXCEEDED = (
        "hold_exceeded",
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The hold is smaller than the amount to be captured.",
    )
    UNKNOWN_HOLD = "unknown_hold", HTTPStatus.INTERNAL_SERVER_ERROR, "There is no such hold."
