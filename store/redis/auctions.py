"""The hot state of auctions: what the doors ask the scripts, each as a typed call."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from redis.client import Pipeline

from store.ids import SHARDS, shard_of
from store.redis.calls import Batch, Call, nothing
from store.redis.keys import keys_of, shard_tag
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    NotYet,
    Rejection,
    SealRecord,
    decode_bid_answer,
    decode_cancel_answer,
    decode_extend_answer,
    decode_seal_answer,
)
from store.redis.scripts import SCRIPTS, Scripts

T = TypeVar("T")

HISTORY_LENGTH = 512
"""Records kept per auction for viewers that come back; those that missed more get a snapshot."""


ANSWER_TTL_S = 600
"""How long a repeated `ref` gets its first answer. Later it is refused, never accepted twice: an accepted maximum is
either still leading (a new one must be higher) or below the next minimum. Only at the price 2^53-1, where no minimum
above it exists, could it count once more, and then without changing price or leader."""


KEEP_SEALED_MS = 24 * 3600 * 1000
"""How long a sealed auction can still be looked at live."""


_REF = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def place_bid(
    auction_id: UUID, bidder: UUID, ref: str, maximum: int, epoch: int = 0, *, scripts: Scripts = SCRIPTS
) -> Call[BidRecord | Rejection]:
    """Bid up to `maximum` (minor units). `ref` is the bidder's name for this bid: 1 to 64 of `A-Z a-z 0-9 _ . : -`.

    Sent again, the same `ref` gets the same answer. `epoch` restricts the bid to that epoch; 0 takes any.
    """
    return _place(auction_id, bidder, ref, maximum, epoch, scripts)


def buy_now(
    auction_id: UUID, bidder: UUID, ref: str, epoch: int = 0, *, scripts: Scripts = SCRIPTS
) -> Call[BidRecord | Rejection]:
    """Buy at once for what that costs, and seal the auction with it. `ref` and `epoch` as for `place_bid`."""
    return _place(auction_id, bidder, ref, "buy_now", epoch, scripts)


def _place(
    auction_id: UUID, bidder: UUID, ref: str, offer: int | str, epoch: int, scripts: Scripts
) -> Call[BidRecord | Rejection]:
    if not _REF.fullmatch(ref):
        raise ValueError("ref must be 1 to 64 of A-Z a-z 0-9 _ . : -")
    keys = keys_of(auction_id)
    answers = f"{shard_tag(shard_of(auction_id))}:answers:{auction_id}:{bidder}"
    return Call(
        scripts.place_bid,
        [keys.auction, keys.paddles, answers, keys.log, keys.history, keys.due, keys.channel, keys.ready],
        [str(auction_id), str(bidder), ref, offer, epoch, HISTORY_LENGTH, ANSWER_TTL_S, KEEP_SEALED_MS],
        decode_bid_answer,
    )


def seal_auction(auction_id: UUID, *, scripts: Scripts = SCRIPTS) -> Call[SealRecord | NotYet | Rejection]:
    """End the auction if its time has come. Any process may call it, any number of times."""
    return _seal(auction_id, "end", decode_seal_answer, scripts)


def cancel_auction(
    auction_id: UUID, *, force: bool, scripts: Scripts = SCRIPTS
) -> Call[SealRecord | Rejection]:
    """End the auction with no winner, before its first bid or, forced, whatever was bid. Else rejects with "has_bids".

    An auction that is sealed stays as it is, and answers its seal: look whether that is `cancelled`.
    """
    return _seal(auction_id, "force" if force else "cancel", decode_cancel_answer, scripts)


def _seal(auction_id: UUID, mode: str, parse: Callable[[Any], T], scripts: Scripts) -> Call[T]:
    keys = keys_of(auction_id)
    return Call(
        scripts.seal_auction,
        [keys.auction, keys.paddles, keys.log, keys.history, keys.due, keys.channel, keys.ready],
        [str(auction_id), HISTORY_LENGTH, KEEP_SEALED_MS, mode],
        parse,
    )


def extend_auction(
    auction_id: UUID, action: UUID, by_ms: int, *, scripts: Scripts = SCRIPTS
) -> Call[ExtensionRecord | Rejection]:
    """Move the end by `by_ms`, and the latest end with it: once for each action, also if that is asked again.

    Rejects with "already_extended", "closed" (sealed), or because there is no hot state.
    """
    keys = keys_of(auction_id)
    return Call(
        scripts.extend_auction,
        [keys.auction, keys.log, keys.history, keys.due, keys.channel, keys.ready],
        [str(auction_id), str(action), by_ms, HISTORY_LENGTH],
        decode_extend_answer,
    )


@dataclass(frozen=True, slots=True)
class HotPaddle:
    """A paddle as the scripts see it. `limit` in minor units; 0 when given back. `version` grows by every change."""

    bidder: UUID
    number: int
    limit: int
    version: int


def put_paddle(auction_id: UUID, paddle: HotPaddle, *, scripts: Scripts = SCRIPTS) -> Call[str]:
    """Write a paddle. Answers "written", "stale" (a newer version is there), "leading" (its owner leads with more
    than the new limit; nothing changed) or "unavailable" (the auction has no hot state)."""
    keys = keys_of(auction_id)
    return Call(
        scripts.put_paddle,
        [keys.auction, keys.paddles],
        [str(paddle.bidder), paddle.number, paddle.limit, paddle.version],
        bytes.decode,
    )


@dataclass(frozen=True, slots=True)
class HotAuction:
    """An auction as PostgreSQL knows it, to be loaded. `epoch` must be fresh; `log_position` is the last stream id of
    the shard that PostgreSQL has committed ("0-0" if none). `steps` are (from price, increment), the first from 0.
    `reserve`, `buy_now_price`, `buy_now_until` and `extended_by` as in `market.rules.BiddingState`."""

    auction_id: UUID
    epoch: int
    seq: int
    seller: UUID
    opens_at: int
    ends_at: int
    start_price: int
    steps: Sequence[tuple[int, int]]
    window_ms: int
    extension_ms: int
    latest_end: int
    reserve: int
    buy_now_price: int
    buy_now_until: str
    price: int
    leader: UUID | None
    leader_paddle: int
    leader_maximum: int
    bids: int
    log_position: str
    paddles: Sequence[HotPaddle]
    extended_by: Sequence[UUID] = ()


def state_of(auction: HotAuction) -> dict[str, str | int]:
    """The fields of an auction's hash in Redis."""
    return {
        "epoch": auction.epoch,
        "seq": auction.seq,
        "seller": str(auction.seller),
        "opens_at": auction.opens_at,
        "ends_at": auction.ends_at,
        "start_price": auction.start_price,
        "steps": ";".join(f"{start}:{increment}" for start, increment in auction.steps),
        "window_ms": auction.window_ms,
        "extension_ms": auction.extension_ms,
        "latest_end": auction.latest_end,
        "reserve": auction.reserve,
        "buy_now_price": auction.buy_now_price,
        "buy_now_until": auction.buy_now_until,
        "price": auction.price,
        "leader": str(auction.leader or ""),
        "leader_paddle": auction.leader_paddle,
        "leader_maximum": auction.leader_maximum,
        "bids": auction.bids,
        "decided_at": 0,
        **{f"extended:{action}": 1 for action in auction.extended_by},
    }


def load_auction(auction: HotAuction, *, scripts: Scripts = SCRIPTS) -> Call[bool]:
    """Put an auction into the hot state. False if it was there already; nothing is changed then."""
    flat = [part for pair in state_of(auction).items() for part in pair]
    paddles = [
        part
        for paddle in auction.paddles
        for part in (str(paddle.bidder), f"{paddle.number}:{paddle.limit}:{paddle.version}")
    ]
    keys = keys_of(auction.auction_id)
    return Call(
        scripts.load_auction,
        [keys.auction, keys.paddles, keys.history, keys.log, keys.due],
        [str(auction.auction_id), auction.ends_at, auction.log_position, len(flat), *flat, *paddles],
        bool,
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """What `read_auction` found at `now` (ms, Redis's clock).

    `state` holds the fields that `load_auction` writes, and `seal` (a record) once sealed; it is None, and `code`
    says why, when there is no hot state. `records` are the JSON texts after the asked number, as far as kept.
    """

    now: int
    state: dict[str, str] | None
    code: str
    records: list[bytes]


def read_auction(auction_id: UUID, after: int, *, scripts: Scripts = SCRIPTS) -> Call[Reading]:
    """Read an auction and its records with sequence numbers above `after`, in one moment."""
    keys = keys_of(auction_id)
    return Call(
        scripts.read_auction, [keys.auction, keys.history, keys.ready, keys.mirrored], [after], _reading
    )


def _reading(reply: Sequence[Any]) -> Reading:
    now, state, records = reply
    if isinstance(state, bytes):
        return Reading(now, None, state.decode(), [])
    texts = [part.decode() for part in state]
    return Reading(now, dict(zip(texts[::2], texts[1::2], strict=True)), "", records)


def unloaded(auction_ids: Sequence[UUID]) -> Batch[list[UUID]]:
    """Those of the auctions that have no hot state."""

    def ask(pipe: Pipeline) -> None:
        for auction_id in auction_ids:
            pipe.exists(keys_of(auction_id).auction)

    return Batch(
        ask,
        lambda found: [auction_id for auction_id, there in zip(auction_ids, found, strict=True) if not there],
    )


def mark_ready() -> Batch[None]:
    """Note in every shard that all its auctions are loaded: from now on, one without state does not exist."""

    def ask(pipe: Pipeline) -> None:
        for shard in range(SHARDS):
            pipe.set(f"{shard_tag(shard)}:ready", 1)

    return Batch(ask, nothing)


def due(until: int) -> Batch[list[tuple[UUID, int]]]:
    """(auction, end) of all unsealed auctions that end at or before `until` (ms)."""

    def ask(pipe: Pipeline) -> None:
        for shard in range(SHARDS):
            pipe.zrangebyscore(f"{shard_tag(shard)}:due", "-inf", until, withscores=True)

    return Batch(
        ask,
        lambda shards: [(UUID(member.decode()), int(end)) for members in shards for member, end in members],
    )


def positions(auction_ids: Sequence[UUID]) -> Batch[list[tuple[int, int] | None]]:
    """(epoch, seq) of each auction now; None without hot state."""

    def ask(pipe: Pipeline) -> None:
        for auction_id in auction_ids:
            pipe.hmget(keys_of(auction_id).auction, "epoch", "seq")

    return Batch(ask, lambda found: [(int(epoch), int(seq)) if epoch else None for epoch, seq in found])
