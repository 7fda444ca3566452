"""Every message of `/ws/live`, in and out, as a typed struct. `docs/protocol.md` is the reference of their meaning.

Amounts are integers in minor units, 1 to 2^53-1; times integers in ms since the epoch, by Redis's clock. Requests
carry a `ref` of the client's choice and replies repeat it; pushes have none.
"""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from market.rules import MAX_AMOUNT
from store.redis.pushes import (
    MessagePush,
    NotificationPush,
    OrderPush,
    OutbidPush,
    Push,
    UnreadPush,
)

Ref = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.:-]{1,64}\Z")]
Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
Position = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]


class ErrorCode(StrEnum):
    """Why a message was not understood or could not be answered. Refused bids have `market.rules.Code`."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_FIELD = "invalid_field"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_REF = "invalid_ref"
    AUTHENTICATION_REQUIRED = "authentication_required"
    INVALID_TICKET = "invalid_ticket"
    TOO_MANY_SUBSCRIPTIONS = "too_many_subscriptions"
    TOO_MANY_SOCKETS = "too_many_sockets"
    RATE_LIMITED = "rate_limited"
    NOT_SUBSCRIBED = "not_subscribed"
    UNKNOWN_AUCTION = "unknown_auction"
    SWITCHED_OFF = "switched_off"
    UNAVAILABLE = "unavailable"
    INTERNAL_ERROR = "internal_error"


class NoticeCode(StrEnum):
    """What a viewer should know about the service itself."""

    INTERRUPTED = "interrupted"
    RESTORED = "restored"
    AUCTION_GONE = "auction_gone"


class CloseCode:
    """Close codes that the server sends on its own account."""

    POLICY = 1008
    RESTART = 1012
    TOO_SLOW = 4008
    SESSION_REVOKED = 4401


class State(StrEnum):
    """Where an auction stands. Only `closed` is an event; the step from scheduled to live is `opens_at`."""

    SCHEDULED = "scheduled"
    LIVE = "live"
    CLOSED = "closed"


class Request(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag=str.lower):
    """A message from a client."""

    ref: Ref


class Authenticate(Request):
    """Hand in a one-time ticket. Only bidding needs it."""

    ticket: Annotated[str, Meta(max_length=200)]


class Subscribe(Request):
    """Watch an auction; with the last known position, go on from there."""

    auction: UUID
    epoch: Position = 0
    seq: Position = 0


class Unsubscribe(Request):
    """Stop watching an auction."""

    auction: UUID


class Bid(Request):
    """Bid `amount`, or let the system bid up to `maximum`: the same offer, in two words. `epoch` 0 takes any."""

    auction: UUID
    amount: Amount | UnsetType = UNSET
    maximum: Amount | UnsetType = UNSET
    epoch: Position = 0

    @property
    def most(self) -> int:
        """The most that the bidder would pay; 0 unless exactly one of `amount` and `maximum` is given."""
        if self.amount is UNSET:
            return 0 if self.maximum is UNSET else self.maximum
        return self.amount if self.maximum is UNSET else 0


class BuyNow(Request, tag="buy_now"):
    """Buy at once for `buy_now`, which ends the auction. `epoch` 0 takes any."""

    auction: UUID
    epoch: Position = 0


class Ping(Request):
    """Ask for the server's time."""


class Message(msgspec.Struct, tag_field="type", tag=str.lower):
    """A message to a client."""


class Reply(Message):
    """The answer to the request with the same `ref`."""

    ref: str


class Authenticated(Reply):
    """The ticket was good."""

    user: UUID


class Resumed(Reply):
    """The position of the client is good: exactly the missed events follow, up to `seq`."""

    auction: UUID
    epoch: int
    seq: int


class Unsubscribed(Reply):
    """No more pushes of this auction."""

    auction: UUID


class Accepted(Reply):
    """The offer counts. Everything but `server_time` is as of the decision, also when the same `ref` is sent again."""

    auction: UUID
    epoch: int
    seq: int
    paddle: int
    maximum: int
    price: int
    leading: bool
    next_minimum: int
    ends_at: int
    received_at: int
    decided_at: int
    server_time: int


class Rejected(Reply):
    """The offer was refused and changed nothing. Price, minimum and end are 0 when the auction is not known."""

    auction: UUID
    code: str
    price: int
    next_minimum: int
    ends_at: int
    received_at: int
    decided_at: int
    server_time: int


class Pong(Reply):
    """The answer to a ping."""

    server_time: int


class Error(Message, kw_only=True):
    """The request was not understood or could not be answered. Without `ref` when none could be read."""

    ref: str | UnsetType = UNSET
    code: ErrorCode
    detail: str
    retry_after_ms: int | UnsetType = UNSET


class PublicBid(msgspec.Struct, frozen=True):
    """An accepted bid as everybody may see it: who bid, and the price after it."""

    seq: int
    paddle: int
    price: int
    at: int


class Snapshot(Message, kw_only=True):
    """The whole auction. With a `ref` the reply to a subscribe, without one a push that replaces what was known."""

    ref: str | UnsetType = UNSET
    auction: UUID
    epoch: int
    seq: int
    state: State
    opens_at: int
    ends_at: int
    price: int | None
    leader: int | None
    next_minimum: int
    bids: int
    reserve_met: bool
    buy_now: int | None
    recent: list[PublicBid]
    hammer_price: int | None
    winner: int | None
    cancelled: bool
    viewers: int
    server_time: int


class Tick(Message):
    """Every bid since the last tick, and the auction after them."""

    auction: UUID
    epoch: int
    first: int
    last: int
    bids: list[PublicBid]
    price: int
    leader: int
    next_minimum: int
    ends_at: int
    count: int
    reserve_met: bool
    buy_now: int | None
    server_time: int


class Extended(Message):
    """The bid `seq` moved the end; or, for an `outage`, the service did, which is an event of its own."""

    auction: UUID
    epoch: int
    seq: int
    ends_at: int
    outage: bool
    server_time: int


class Closed(Message):
    """The hammer. `hammer_price` and `winner` (a paddle number) are null when nobody bid up to the reserve, or it was
    `cancelled`."""

    auction: UUID
    epoch: int
    seq: int
    hammer_price: int | None
    winner: int | None
    cancelled: bool
    bids: int
    ends_at: int
    sealed_at: int
    server_time: int


class Viewers(Message):
    """How many sockets watch the auction."""

    auction: UUID
    count: int


class Notice(Message):
    """A notice about the service."""

    code: NoticeCode
    detail: str
    auction: UUID | UnsetType = UNSET


class Drain(Message):
    """This socket will be closed in `reconnect_in_ms`; open a new one then."""

    reconnect_in_ms: int


Event = Tick | Extended | Closed
Outgoing = (
    Authenticated
    | Resumed
    | Unsubscribed
    | Accepted
    | Rejected
    | Pong
    | Error
    | Snapshot
    | Event
    | Viewers
    | Notice
    | Drain
    | MessagePush
    | NotificationPush
    | OrderPush
    | OutbidPush
    | UnreadPush
)

encode = msgspec.json.Encoder().encode
decode_outgoing = msgspec.json.Decoder(Outgoing).decode

_decode_request = msgspec.json.Decoder(Authenticate | Subscribe | Unsubscribe | Bid | BuyNow | Ping).decode
REQUESTS = (Authenticate, Subscribe, Unsubscribe, Bid, BuyNow, Ping)


def name_of(message: type[Request] | type[Message] | type[Push]) -> str:
    """The `type` of these messages on the wire."""
    return str(message.__struct_config__.tag)


_REQUEST_NAMES = [name_of(request) for request in REQUESTS]


class BadRequest(Exception):
    """A message that is no request; `error` is the answer to it."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.code)
        self.error = error


def decode_request(text: str | bytes) -> Request:
    """Decode one text frame. Raises `BadRequest`."""
    try:
        request: Request = _decode_request(text)
    except (msgspec.DecodeError, RecursionError) as failure:
        raise BadRequest(_explain(text, str(failure))) from None
    if isinstance(request, Bid) and not request.most:
        raise BadRequest(
            Error(
                ref=request.ref,
                code=ErrorCode.INVALID_AMOUNT,
                detail="Give exactly one of amount and maximum.",
            )
        )
    return request


def ref_of(text: str | bytes) -> str | UnsetType:
    """The `ref` of a message that may be anything, so that its error can be told apart; UNSET if it has no good one."""
    try:
        message = msgspec.json.decode(text)
        return msgspec.convert(message["ref"], Ref)
    except (msgspec.DecodeError, RecursionError, TypeError, KeyError):
        return UNSET


def _explain(text: str | bytes, detail: str) -> Error:
    try:
        message: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as failure:
        return Error(code=ErrorCode.MALFORMED, detail=str(failure))
    ref = ref_of(text)
    if not isinstance(message, dict):
        return Error(code=ErrorCode.MALFORMED, detail="A message must be a JSON object.")
    if message.get("type") not in _REQUEST_NAMES:
        return Error(
            ref=ref,
            code=ErrorCode.UNKNOWN_TYPE,
            detail=f"The type must be one of {', '.join(_REQUEST_NAMES)}.",
        )
    if ref is UNSET:
        return Error(
            code=ErrorCode.INVALID_REF, detail="A ref must be 1 to 64 of the characters A-Z a-z 0-9 _ . : -"
        )
    if detail.endswith(("`$.amount`", "`$.maximum`")):
        return Error(ref=ref, code=ErrorCode.INVALID_AMOUNT, detail=detail)
    return Error(ref=ref, code=ErrorCode.INVALID_FIELD, detail=detail)
