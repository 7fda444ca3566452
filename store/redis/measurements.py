"""What the realtime processes measure, on its way through Redis to PostgreSQL, which keeps it."""

from dataclasses import dataclass
from typing import Any

from redis.client import Pipeline

from store.redis.calls import Batch, nothing
from store.redis.clients import ms
from store.redis.glances import fresh_count
from store.redis.keys import WRITE_BACK_AT

_VIEWERS = "figures:viewers"
_LATE_REJECTIONS = "figures:late_rejections"
_TTL_S = 60


@dataclass(frozen=True, slots=True)
class Measured:
    """Sockets of all processes that watch an auction, bids that came after the end since the last time, and ms since
    the last successful write-back (None if Redis knows of none)."""

    viewers: int
    late_rejections: int
    write_back_lag_ms: int | None


def share(process: str, viewers: int, late_rejections: int, now: int) -> Batch[None]:
    """Tell what this process has: its sockets that watch an auction, and the late bids since it told last. `now` in ms,
    by Redis's clock."""

    def ask(pipe: Pipeline) -> None:
        pipe.hset(_VIEWERS, process, f"{viewers}:{now}")
        pipe.expire(_VIEWERS, _TTL_S)
        pipe.incrby(_LATE_REJECTIONS, late_rejections)

    return Batch(ask, nothing)


def take() -> Batch[Measured]:
    """What all processes have told; late rejections are counted anew from here on."""

    def ask(pipe: Pipeline) -> None:
        pipe.time()
        pipe.hvals(_VIEWERS)
        pipe.getdel(_LATE_REJECTIONS)
        pipe.get(WRITE_BACK_AT)

    def parse(replies: list[Any]) -> Measured:
        time, viewers, late_rejections, write_back_at = replies
        now = ms(time)
        return Measured(
            viewers=sum(fresh_count(value, now) for value in viewers),
            late_rejections=int(late_rejections or 0),
            write_back_lag_ms=max(0, now - int(write_back_at)) if write_back_at else None,
        )

    return Batch(ask, parse)
