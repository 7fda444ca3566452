"""Mirrors of neighbourhood auctions in Redis, so that they can be watched like live ones. PostgreSQL decides them.

A mirror says that it is one, which `place_bid` refuses, and stands in no list of what is due, so no script ends it.
"""

from collections.abc import Sequence

import msgspec
from redis.client import Pipeline

from store.ids import SHARDS
from store.redis.auctions import HISTORY_LENGTH, KEEP_SEALED_MS, HotAuction, state_of
from store.redis.calls import Batch, Call, nothing
from store.redis.keys import keys_of, mirrored_key
from store.redis.records import Record, SealRecord
from store.redis.scripts import Script

_SCRIPT = Script("mirror_auction")


def mirror(auction: HotAuction, records: Sequence[Record], seal: SealRecord | None) -> Call[bool]:
    """Write the auction as it is after the last of `records`; `seal` is how it ended, if it did. The records are all
    that Redis may lack: those that it has are not published again. False if it had this or something newer."""
    keys = keys_of(auction.auction_id)
    fields = state_of(auction) | {"copy": 1} | ({} if seal is None else {"seal": _text(seal)})
    flat = [part for pair in fields.items() for part in pair]
    keep_ms = 0 if seal is None else KEEP_SEALED_MS
    return Call(
        _SCRIPT,
        [keys.auction, keys.history, keys.channel],
        [auction.epoch, auction.seq, HISTORY_LENGTH, keep_ms, len(flat), *flat, *map(_text, records)],
        bool,
    )


def lost_shards() -> Batch[list[int]]:
    """The shards whose mirrors were never written, or went when Redis lost its data: nobody says there what does not
    exist."""

    def ask(pipe: Pipeline) -> None:
        for shard in range(SHARDS):
            pipe.exists(mirrored_key(shard))

    return Batch(ask, lambda found: [shard for shard, there in enumerate(found) if not there])


def mark_shards(shards: Sequence[int]) -> Batch[None]:
    """Note that all mirrors of these shards are there: from now on, one that is not there does not exist."""

    def ask(pipe: Pipeline) -> None:
        for shard in shards:
            pipe.set(mirrored_key(shard), 1)

    return Batch(ask, nothing)


def _text(record: Record) -> str:
    return msgspec.json.encode(record).decode()
