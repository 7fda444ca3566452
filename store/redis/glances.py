"""What the doors ask Redis about many auctions at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from redis.client import Pipeline

from store.redis.calls import Batch, nothing
from store.redis.clients import ms
from store.redis.keys import keys_of

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


def glances(auctions: Mapping[UUID, bool]) -> Batch[dict[UUID, Glance]]:
    """All the auctions at a glance: the prices of those with True that have hot state."""
    priced = [auction for auction, wanted in auctions.items() if wanted]

    def ask(pipe: Pipeline) -> None:
        pipe.time()
        for auction in auctions:
            pipe.hvals(keys_of(auction).viewers)
        for auction in priced:
            pipe.hmget(keys_of(auction).auction, "seq", "price", "leader", "bids", "ends_at", "seal")

    def parse(replies: list[Any]) -> dict[UUID, Glance]:
        now = ms(replies[0])
        viewers, states = replies[1 : 1 + len(auctions)], replies[1 + len(auctions) :]
        prices = {auction: _price(*state) for auction, state in zip(priced, states, strict=True) if state[0]}
        return {
            auction: Glance(sum(fresh_count(value, now) for value in values), prices.get(auction))
            for auction, values in zip(auctions, viewers, strict=True)
        }

    return Batch(ask, parse)


def _price(seq: bytes, price: bytes, leader: bytes, bids: bytes, ends_at: bytes, seal: bytes | None) -> Price:
    return Price(int(seq), int(price), leader.decode(), int(bids), int(ends_at), seal is not None)


def share_viewers(process: str, counts: Mapping[UUID, int], now: int) -> Batch[dict[UUID, int]]:
    """Tell how many viewers this process has per auction; answers the sum over all processes. `now` in ms."""

    def ask(pipe: Pipeline) -> None:
        for auction, count in counts.items():
            key = keys_of(auction).viewers
            pipe.hset(key, process, f"{count}:{now}")
            pipe.expire(key, _VIEWERS_TTL_S)
            pipe.hgetall(key)

    def parse(replies: list[Any]) -> dict[UUID, int]:
        return {
            auction: sum(fresh_count(value, now) for value in entries.values())
            for auction, entries in zip(counts, replies[2::3], strict=True)
        }

    return Batch(ask, parse)


def forget_viewers(process: str, auctions: Sequence[UUID]) -> Batch[None]:
    """Take this process's viewer counts back."""

    def ask(pipe: Pipeline) -> None:
        for auction in auctions:
            pipe.hdel(keys_of(auction).viewers, process)

    return Batch(ask, nothing)


def fresh_count(value: bytes, now: int) -> int:
    """What a process told as `count:time`; 0 if it has not told for long."""
    count, at = value.split(b":")
    return int(count) if now - int(at) <= VIEWERS_FRESH_MS else 0
