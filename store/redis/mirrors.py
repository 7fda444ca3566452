"""Copies of neighbourhood auctions in Redis, so that they can be watched like live ones. PostgreSQL decides them.

A copy says that it is one, which `place_bid` refuses, and stands in no list of what is due, so no script ends it.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from store.ids import SHARDS
from store.redis.hot import (
    HISTORY_LENGTH,
    KEEP_SEALED_MS,
    Call,
    HotAuction,
    Script,
    SyncHot,
    keys_of,
    mirrored_key,
    state_of,
)
from store.redis.records import Record, SealRecord

_SCRIPT = Script("mirror_auction")


def mirror(auction: HotAuction, records: Sequence[Record], seal: SealRecord | None) -> Call[bool]:
    """Write the auction as it is after the last of `records`; `seal` is how it ended, if it did. The records are all
    that Redis may lack: those that it has are not told again. False if it had this or something newer."""
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


def found(hot: SyncHot, auction_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int] | None]:
    """The (epoch, seq) of each copy as it is now; None without one."""
    pipe = hot.client.pipeline(transaction=False)
    for auction_id in auction_ids:
        pipe.hmget(keys_of(auction_id).auction, "epoch", "seq")
    return {
        auction_id: None if epoch is None else (int(epoch), int(seq))
        for auction_id, (epoch, seq) in zip(auction_ids, pipe.execute(), strict=True)
    }


def lost_shards(hot: SyncHot) -> list[int]:
    """The shards whose copies were never written, or went when Redis lost its data: nobody says there what does not
    exist."""
    pipe = hot.client.pipeline(transaction=False)
    for shard in range(SHARDS):
        pipe.exists(mirrored_key(shard))
    return [shard for shard, there in enumerate(pipe.execute()) if not there]


def mark_shards(hot: SyncHot, shards: Sequence[int]) -> None:
    """Note that all copies of these shards are there: from now on, one that is not there does not exist."""
    pipe = hot.client.pipeline(transaction=False)
    for shard in shards:
        pipe.set(mirrored_key(shard), 1)
    pipe.execute()


def _text(record: Record) -> str:
    return msgspec.json.encode(record).decode()
