"""What the realtime processes ask Redis about all their auctions at once. Everything raises `redis.RedisError`."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from store.hot import WRITE_BACK_AT, Hot, keys_of, shard_tag
from store.ids import SHARDS

VIEWERS_FRESH_MS = 10_000
"""A process that has not told its viewer count for this long counts as gone."""

_VIEWERS_TTL_S = 30


async def positions(hot: Hot, auctions: Sequence[UUID]) -> list[tuple[int, int] | None]:
    """(epoch, seq) of each auction now; None without hot state."""
    pipe = hot.client.pipeline(transaction=False)
    for auction in auctions:
        pipe.hmget(keys_of(auction).auction, "epoch", "seq")
    return [(int(epoch), int(seq)) if epoch else None for epoch, seq in await pipe.execute()]


async def due(hot: Hot, until: int) -> list[tuple[UUID, int]]:
    """(auction, end) of all unsealed auctions that end at or before `until` (ms)."""
    pipe = hot.client.pipeline(transaction=False)
    for shard in range(SHARDS):
        pipe.zrangebyscore(f"{shard_tag(shard)}:due", "-inf", until, withscores=True)
    found = await pipe.execute()
    return [(UUID(member.decode()), int(score)) for members in found for member, score in members]


async def share_viewers(hot: Hot, process: str, counts: Mapping[UUID, int], now: int) -> dict[UUID, int]:
    """Tell how many viewers this process has per auction; answers the sum over all processes. `now` in ms."""
    pipe = hot.client.pipeline(transaction=False)
    for auction, count in counts.items():
        key = keys_of(auction).viewers
        pipe.hset(key, process, f"{count}:{now}")
        pipe.expire(key, _VIEWERS_TTL_S)
        pipe.hgetall(key)
    replies = await pipe.execute()
    return {
        auction: sum(_fresh(value, now) for value in entries.values())
        for auction, entries in zip(counts, replies[2::3], strict=True)
    }


async def forget_viewers(hot: Hot, process: str, auctions: Sequence[UUID]) -> None:
    """Take this process's viewer counts back."""
    pipe = hot.client.pipeline(transaction=False)
    for auction in auctions:
        pipe.hdel(keys_of(auction).viewers, process)
    await pipe.execute()


def _fresh(value: bytes, now: int) -> int:
    count, at = value.split(b":")
    return int(count) if now - int(at) <= VIEWERS_FRESH_MS else 0


async def write_back_at(hot: Hot) -> int:
    """When write-back last succeeded (ms, Redis's clock); 0 if it never did."""
    return int(await hot.client.get(WRITE_BACK_AT) or 0)
