"""The log streams: what the scripts have accepted, on its way to PostgreSQL."""

from collections.abc import Iterable, Sequence

from redis import ResponseError
from redis.client import Pipeline

from store.ids import SHARDS
from store.redis.calls import Batch, nothing
from store.redis.keys import WRITE_BACK_AT, log_key


def read_logs(after: Sequence[str], count: int) -> Batch[list[list[tuple[str, bytes]]]]:
    """For each shard up to `count` (stream id, record) after its position, oldest first."""

    def ask(pipe: Pipeline) -> None:
        for shard in range(SHARDS):
            pipe.xrange(log_key(shard), min=f"({after[shard]}", count=count)

    return Batch(
        ask,
        lambda logs: [
            [(entry_id.decode(), fields.get(b"r", b"")) for entry_id, fields in entries] for entries in logs
        ],
    )


def trim_logs(positions: Iterable[tuple[int, str]]) -> Batch[None]:
    """Drop from each (shard, position) what stands at or before the position. Only for what PostgreSQL has."""

    def ask(pipe: Pipeline) -> None:
        for shard, position in positions:
            milliseconds, number = position.split("-")
            pipe.xtrim(log_key(shard), minid=f"{milliseconds}-{int(number) + 1}", approximate=False)

    return Batch(ask, nothing)


def log_ends() -> Batch[list[str | None]]:
    """For each shard the newest stream id that its log has ever given; None without a log."""

    def ask(pipe: Pipeline) -> None:
        for shard in range(SHARDS):
            pipe.xinfo_stream(log_key(shard))

    # Asking about a missing stream is an error of that one command.
    return Batch(
        ask,
        lambda infos: [
            None if isinstance(info, ResponseError) else info["last-generated-id"].decode() for info in infos
        ],
        strict=False,
    )


def note_write_back(at: int) -> Batch[None]:
    """Note when write-back last succeeded (ms, Redis's clock)."""
    return Batch(lambda pipe: pipe.set(WRITE_BACK_AT, at), nothing)


def write_back_at() -> Batch[int]:
    """When write-back last succeeded (ms, Redis's clock); 0 if it never did."""
    return Batch(lambda pipe: pipe.get(WRITE_BACK_AT), lambda replies: int(replies[0] or 0))
