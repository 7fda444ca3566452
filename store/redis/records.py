"""What the Lua scripts answer, log and publish: one JSON text for all three, decoded here into types.

Amounts are integers in minor units, times integers in ms since the epoch. `maximum` and `leader_maximum` are secret:
they may go to PostgreSQL and to the bidder concerned, never to other clients.
"""

from uuid import UUID

import msgspec


class BidRecord(msgspec.Struct, frozen=True, tag_field="type", tag="bid"):
    """An accepted bid, or purchase (`bought`), and the auction after it.

    `outbid` is the bidder who lost the lead by it, or ""; `bids` counts the accepted bids so far. `buy_now` is what it
    costs to buy at once, 0 when that is not on offer.
    """

    auction: UUID
    epoch: int
    seq: int
    at: int
    bidder: UUID
    paddle: int
    ref: str
    maximum: int
    price: int
    leader: UUID
    leader_paddle: int
    leader_maximum: int
    outbid: str
    next_minimum: int
    ends_at: int
    extended: bool
    bids: int
    bought: bool
    reserve_met: bool
    buy_now: int


class SealRecord(msgspec.Struct, frozen=True, tag_field="type", tag="seal"):
    """The end of an auction: the last record it has. `leader` has won and pays `price`; "" and paddle 0 when nobody
    bid, or not up to the reserve, or it was `cancelled`, which may be before `ends_at`."""

    auction: UUID
    epoch: int
    seq: int
    at: int
    ends_at: int
    price: int
    leader: str
    leader_paddle: int
    bids: int
    cancelled: bool = False
    """Missing in what an older version has written."""


class ExtensionRecord(msgspec.Struct, frozen=True, tag_field="type", tag="extension"):
    """The end, and the latest that bids may move it to, were moved by `action`, once."""

    auction: UUID
    epoch: int
    seq: int
    at: int
    action: UUID
    ends_at: int
    latest_end: int


class Rejection(msgspec.Struct, frozen=True, tag_field="type", tag="rejected"):
    """A refused command: `code` is one of `market.rules.Code`, "has_bids" or "already_extended". It changed
    nothing."""

    code: str
    at: int
    price: int
    next_minimum: int
    ends_at: int


class NotYet(msgspec.Struct, frozen=True, tag_field="type", tag="not_yet"):
    """A seal that came before `ends_at`."""

    at: int
    ends_at: int


Record = BidRecord | SealRecord | ExtensionRecord
"""What stands in the log stream and is published to viewers."""

decode_record = msgspec.json.Decoder(Record).decode
decode_bid_answer = msgspec.json.Decoder(BidRecord | Rejection).decode
decode_cancel_answer = msgspec.json.Decoder(SealRecord | Rejection).decode
decode_extend_answer = msgspec.json.Decoder(ExtensionRecord | Rejection).decode
decode_seal_answer = msgspec.json.Decoder(SealRecord | NotYet | Rejection).decode
