"""What the doors ask Redis about many auctions at once. Everything raises `redis.RedisError`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from store.ids import SHARDS
from store.redis.hot import (
    WRITE_BACK_AT,
    Hot,
    keys_of,
    ms,
    shard_tag,
)

VIEWERS_FRESH_MS = 10_000
"""A process that has not told its viewer count for this long counts as gone."""

_VIEWERS_TTL_S = 30


@dataclass(frozen=True, slots=True)
class Price:
    """Where a live auction stands: amounts in minor units, times in ms. `leader` is "" before the first bid."""

    seq: int
    price: int
    leader: str
    bids: int
    ends_at: int
    sealed: bool


@dataclass(frozen=True, slots=True)
class Glance:
    """What a list shows of a running auction. `viewers` counts the sockets that watch it."""

    viewers: int
    price: Price | None


async def glances(hot: Hot, auctions: Mapping[UUID, bool]) -> dict[UUID, Glance]:
    """All the auctions at a glance, in one round trip: the prices of those with True that have hot state."""
    pipe = hot.client.pipeline(transaction=False)
    pipe.time()
    for auction in auctions:
        pipe.hvals(keys_of(auction).viewers)
    priced = [auction for auction, wanted in auctions.items() if wanted]
    for auction in priced:
        pipe.hmget(keys_of(auction).auction, "seq", "price", "leader", "bids", "ends_at", "seal")
    time, *replies = await pipe.execute()
    now = ms(time)
    viewers, states = replies[: len(auctions)], replies[len(auctions) :]
    prices = {auction: _price(*state) for auction, state in zip(priced, states, strict=True) if state[0]}
    return {
        auction: Glance(sum(fresh_count(value, now) for value in values), prices.get(auction))
        for auction, values in zip(auctions, viewers, strict=True)
    }


def _price(seq: bytes, price: bytes, leader: bytes, bids: bytes, ends_at: bytes, seal: bytes | None) -> Price:
    return Price(int(seq), int(price), leader.decode(), int(bids), int(ends_at), seal is not None)


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
        auction: sum(fresh_count(value, now) for value in entries.values())
        for auction, entries in zip(counts, replies[2::3], strict=True)
    }


async def forget_viewers(hot: Hot, process: str, auctions: Sequence[UUID]) -> None:
    """Take this process's viewer counts back."""
    pipe = hot.client.pipeline(transaction=False)
    for auction in auctions:
        pipe.hdel(keys_of(auction).viewers, process)
    await pipe.execute()


def fresh_count(value: bytes, now: int) -> int:
    """What a process told as `count:time`; 0 if it has not told for long."""
    count, at = value.split(b":")
    return int(count) if now - int(at) <= VIEWERS_FRESH_MS else 0


async def write_back_at(hot: Hot) -> int:
    """When write-back last succeeded (ms, Redis's clock); 0 if it never did."""
    return int(await hot.client.get(WRITE_BACK_AT) or 0)
