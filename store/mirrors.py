"""Copies of neighbourhood auctions in Redis, so that they can be watched like live ones. PostgreSQL decides them.

A copy says that it is one, which `place_bid` refuses, and stands in no list of what is due, so no script ends it.
"""

from collections.abc import Sequence

import msgspec

from store.hot import (
    HISTORY_LENGTH,
    KEEP_SEALED_MS,
    Call,
    HotAuction,
    Script,
    SyncHot,
    keys_of,
    shard_tag,
    state_of,
)
from store.ids import SHARDS
from store.records import Record, SealRecord

_SCRIPT = Script("mirror_auction")


def mirror(auction: HotAuction, records: Sequence[Record], seal: SealRecord | None) -> Call[bool]:
    """Write the auction as it is after the last of `records`, which are those since the copy was last written; `seal`
    is how it ended, if it did. False if Redis had this or something newer."""
    keys = keys_of(auction.auction_id)
    fields = state_of(auction) | {"copy": 1} | ({} if seal is None else {"seal": _text(seal)})
    flat = [part for pair in fields.items() for part in pair]
    keep_ms = 0 if seal is None else KEEP_SEALED_MS
    return Call(
        _SCRIPT,
        [keys.auction, keys.history, keys.channel],
        [auction.seq, HISTORY_LENGTH, keep_ms, len(flat), *flat, *map(_text, records)],
        bool,
    )


def lost_shards(hot: SyncHot) -> list[int]:
    """The shards whose copies were never written, or went when Redis lost its data."""
    pipe = hot.client.pipeline(transaction=False)
    for shard in range(SHARDS):
        pipe.exists(_marker(shard))
    return [shard for shard, there in enumerate(pipe.execute()) if not there]


def mark_shards(hot: SyncHot, shards: Sequence[int]) -> None:
    """Note that the copies of these shards are there, or will be made from what PostgreSQL remembers."""
    pipe = hot.client.pipeline(transaction=False)
    for shard in shards:
        pipe.set(_marker(shard), 1)
    pipe.execute()


def _marker(shard: int) -> str:
    return f"{shard_tag(shard)}:mirrored"


def _text(record: Record) -> str:
    return msgspec.json.encode(record).decode()
