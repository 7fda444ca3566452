"""What is refused about bids and paddles."""

from collections.abc import Mapping
from http import HTTPStatus

from market.errors import GeneralRefusal, RefusalCode
from market.listings.refusals import ListingRefusal
from market.rules import Code


class BidRefusal(RefusalCode):
    """Why a bid, a paddle or a cancellation is not accepted."""

    NO_PADDLE = "no_paddle", HTTPStatus.NOT_FOUND, "You have no paddle in this auction. Take one first."
    WRONG_KIND = (
        "wrong_kind",
        HTTPStatus.CONFLICT,
        "In a neighbourhood auction you bid without a paddle. Place your bid directly.",
    )
    CANCELLED = "cancelled", HTTPStatus.CONFLICT, "The auction was cancelled."
    NOT_OPEN = "not_open", HTTPStatus.CONFLICT, "The auction has not opened yet. Come back when it has."
    OVER_LIMIT = (
        "over_limit",
        HTTPStatus.CONFLICT,
        "This is more than your paddle's limit. Raise the limit first.",
    )
    NOT_ABOVE_OWN_MAXIMUM = (
        "not_above_own_maximum",
        HTTPStatus.CONFLICT,
        "You are already the highest bidder. A new maximum must be higher than your last.",
    )
    BELOW_MINIMUM = "below_minimum", HTTPStatus.CONFLICT, "Your bid is too low. Bid at least `next_minimum`."
    NO_BUY_NOW = (
        "no_buy_now",
        HTTPStatus.CONFLICT,
        "Buy-now is not available. Place a bid instead.",
    )
    HAS_BIDS = (
        "has_bids",
        HTTPStatus.CONFLICT,
        "There are bids already, so you can no longer cancel this auction.",
    )
    PADDLE_TAKEN = (
        "paddle_taken",
        HTTPStatus.CONFLICT,
        "You already have a paddle with another limit. Raise its limit instead.",
    )
    PADDLE_RETURNING = (
        "paddle_returning",
        HTTPStatus.CONFLICT,
        "Your paddle is being given back. Try again in a moment.",
    )
    PADDLE_LEADING = (
        "paddle_leading",
        HTTPStatus.CONFLICT,
        "You are the highest bidder, so you cannot give back your paddle.",
    )
    PADDLE_CHANGED = (
        "paddle_changed",
        HTTPStatus.CONFLICT,
        "Your paddle has just been changed. Load it again.",
    )
    LIMIT_NOT_RAISED = (
        "limit_not_raised",
        HTTPStatus.CONFLICT,
        "The new limit must be higher than the present one.",
    )


OFFER_REFUSALS: Mapping[Code, RefusalCode] = {
    Code.UNKNOWN_AUCTION: GeneralRefusal.UNAVAILABLE,
    Code.UNAVAILABLE: GeneralRefusal.UNAVAILABLE,
    Code.WRONG_KIND: BidRefusal.WRONG_KIND,
    Code.REF_REUSED: GeneralRefusal.IDEMPOTENCY_KEY_REUSED,
    Code.CANCELLED: BidRefusal.CANCELLED,
    Code.CLOSED: ListingRefusal.CLOSED,
    # Only sockets name the epoch that they have seen.
    Code.STALE_EPOCH: GeneralRefusal.INTERNAL_ERROR,
    Code.NOT_OPEN: BidRefusal.NOT_OPEN,
    Code.OWN_AUCTION: ListingRefusal.OWN_AUCTION,
    Code.NO_PADDLE: BidRefusal.NO_PADDLE,
    Code.OVER_LIMIT: BidRefusal.OVER_LIMIT,
    Code.NOT_ABOVE_OWN_MAXIMUM: BidRefusal.NOT_ABOVE_OWN_MAXIMUM,
    Code.BELOW_MINIMUM: BidRefusal.BELOW_MINIMUM,
    Code.NO_BUY_NOW: BidRefusal.NO_BUY_NOW,
}
"""What a use-case refuses when the rules, or Redis, have refused an offer. An auction that is open in PostgreSQL and
unknown to Redis is one that cannot be reached now; the `ref` of an offer is made of its `Idempotency-Key`."""
