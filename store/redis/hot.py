"""The hot state of live auctions in Redis: key names, the Lua scripts and their typed calls.

A `Call` is a script with its keys and arguments and the way to read its reply. It is a value, so that the realtime
processes (asyncio, hand-pipelined), the REST processes (asyncio) and Celery (synchronous) share one description.

No connection here repeats a command by itself: after a lost reply nobody knows whether a script ran, and redis-py's
default would run it again. Errors reach the caller as `redis.RedisError`.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, NamedTuple, Self, TypeVar
from uuid import UUID

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from store.ids import SHARDS, shard_of
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

T = TypeVar("T")

HISTORY_LENGTH = 512
"""Records kept per auction for viewers that come back; whoever missed more gets a snapshot."""

ANSWER_TTL_S = 600
"""How long a repeated `ref` gets its first answer. Later it is refused, never accepted twice: an accepted maximum is
either still leading (a new one must be higher) or below the next minimum. Only at the price 2^53-1, where no minimum
above it exists, could it count once more, and then without changing price or leader."""

KEEP_SEALED_MS = 24 * 3600 * 1000
"""How long a sealed auction can still be looked at live."""

WRITE_BACK_AT = "write_back:at"
"""The key where write-back notes the time (ms, Redis's clock) of its last success."""

TIMEOUT_S = 5
MAX_CONNECTIONS = 64

_REF = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Keys(NamedTuple):
    """The keys of one auction. All carry the hash tag of its shard, so that a script touches one cluster slot."""

    auction: str
    paddles: str
    history: str
    channel: str
    viewers: str
    log: str
    due: str
    ready: str
    mirrored: str


@lru_cache(maxsize=4096)
def keys_of(auction_id: UUID) -> Keys:
    """The names of all keys and of the channel of an auction."""
    shard, own = shard_tag(shard_of(auction_id)), str(auction_id)
    return Keys(
        auction=f"{shard}:auction:{own}",
        paddles=f"{shard}:paddles:{own}",
        history=f"{shard}:history:{own}",
        channel=f"{shard}:channel:{own}",
        viewers=f"{shard}:viewers:{own}",
        log=log_key(shard_of(auction_id)),
        due=f"{shard}:due",
        ready=f"{shard}:ready",
        mirrored=mirrored_key(shard_of(auction_id)),
    )


def shard_tag(shard: int) -> str:
    """The hash tag of a shard."""
    return f"{{s{shard:02}}}"


def log_key(shard: int) -> str:
    """The stream that logs every accepted bid and every seal of a shard."""
    return f"{shard_tag(shard)}:log"


def mirrored_key(shard: int) -> str:
    """The marker of a shard that has all copies of its neighbourhood auctions."""
    return f"{shard_tag(shard)}:mirrored"


def lua_source(name: str) -> str:
    """The file of a script."""
    return (Path(__file__).parents[1] / "lua" / f"{name}.lua").read_text()


_CALLED_BY = {"place_bid": "seal_auction"}
"""Which script needs which other one: it stands before it, as a function of its name."""


class Script:
    """A Lua script of `store/lua/`. `prelude` is put before it; tests use it to set the clock."""

    def __init__(self, name: str, prelude: str = "") -> None:
        self.name = name
        called = _CALLED_BY.get(name)
        function = f"local function {called}(KEYS, ARGV)\n{lua_source(called)}\nend\n" if called else ""
        self.text = prelude + function + lua_source(name)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


class Scripts(NamedTuple):
    """Every script. Each makes one decision and validates everything before its first write."""

    place_bid: Script
    seal_auction: Script
    extend_auction: Script
    put_paddle: Script
    load_auction: Script
    read_auction: Script


def load_scripts(prelude: str = "") -> Scripts:
    """Read the scripts from their files."""
    return Scripts(*(Script(name, prelude) for name in Scripts._fields))


SCRIPTS = load_scripts()


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One run of a script."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    parse: Callable[[Any], T]

    def command(self) -> list[str | int]:
        """The call as a Redis command. Redis answers NOSCRIPT, and has done nothing, when it lacks the script."""
        return ["EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args]


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
    `reserve`, `buy_now_price`, `buy_now_until` and `extended_by` as in `market.rules.State`."""

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


def ms(time: tuple[int, int]) -> int:
    """Redis's TIME (seconds, microseconds) in ms since the epoch."""
    return time[0] * 1000 + time[1] // 1000


class Hot:
    """The hot state for asyncio: a pool of connections, none of which repeats a command by itself."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self.client = client

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect lazily to `url`."""
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=AsyncRetry(NoBackoff(), 0),
            # While it listens for notices of Redis's hosted service, redis-py hands out pooled connections that the
            # server has closed: after a restart of Redis, the first command on each would fail.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        return cls(redis.asyncio.Redis.from_pool(pool))

    async def close(self) -> None:
        """Close every connection."""
        await self.client.aclose()

    async def ping(self) -> None:
        """Raise `redis.RedisError` unless Redis answers."""
        await self.client.ping()

    async def now_ms(self) -> int:
        """Redis's clock, ms since the epoch."""
        return ms(await self.client.time())

    async def run(self, call: Call[T]) -> T:
        """Run a script once. It is sent again only if Redis did not know it, and so did not run it."""
        try:
            reply = await self.client.execute_command(*call.command())
        except NoScriptError:
            await self.client.script_load(call.script.text)
            reply = await self.client.execute_command(*call.command())
        return call.parse(reply)


class SyncHot:
    """The hot state for Celery."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect lazily to `url`."""
        client = redis.Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client)

    def now_ms(self) -> int:
        """Redis's clock, ms since the epoch."""
        return ms(self.client.time())

    def run(self, call: Call[T]) -> T:
        """Run a script once. It is sent again only if Redis did not know it, and so did not run it."""
        try:
            reply = self.client.execute_command(*call.command())
        except NoScriptError:
            self.client.script_load(call.script.text)
            reply = self.client.execute_command(*call.command())
        return call.parse(reply)

    def run_all(self, calls: Sequence[Call[T]]) -> list[T]:
        """Run scripts in one round trip, each once. An error of one is raised after all have run."""
        scripts = {call.script for call in calls}
        pipe = self.client.pipeline(transaction=False)
        for script in scripts:
            pipe.script_load(script.text)
        for call in calls:
            pipe.execute_command(*call.command())
        replies = pipe.execute()[len(scripts) :]
        return [call.parse(reply) for call, reply in zip(calls, replies, strict=True)]

    def read_logs(self, positions: Sequence[str], count: int) -> list[list[tuple[str, bytes]]]:
        """For each shard up to `count` (stream id, record) after its position, oldest first."""
        pipe = self.client.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipe.xrange(log_key(shard), min=f"({positions[shard]}", count=count)
        return [
            [(entry_id.decode(), fields.get(b"r", b"")) for entry_id, fields in entries]
            for entries in pipe.execute()
        ]

    def trim_logs(self, positions: Iterable[tuple[int, str]]) -> None:
        """Drop from each (shard, position) what stands at or before the position. Only for what PostgreSQL has."""
        pipe = self.client.pipeline(transaction=False)
        for shard, position in positions:
            milliseconds, number = position.split("-")
            pipe.xtrim(log_key(shard), minid=f"{milliseconds}-{int(number) + 1}", approximate=False)
        pipe.execute()

    def due(self, now: int) -> list[UUID]:
        """The auctions of all shards whose end, at `now` (ms), has come."""
        pipe = self.client.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipe.zrangebyscore(f"{shard_tag(shard)}:due", "-inf", now)
        return [UUID(member.decode()) for members in pipe.execute() for member in members]

    def log_ends(self) -> list[str | None]:
        """For each shard the newest stream id that its log has ever given; None without a log."""
        pipe = self.client.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipe.xinfo_stream(log_key(shard))
        # Asking about a missing stream is an error of that one command.
        infos = pipe.execute(raise_on_error=False)
        return [
            None if isinstance(info, redis.ResponseError) else info["last-generated-id"].decode()
            for info in infos
        ]

    def unloaded(self, auction_ids: Sequence[UUID]) -> list[UUID]:
        """Those of the auctions that have no hot state."""
        pipe = self.client.pipeline(transaction=False)
        for auction_id in auction_ids:
            pipe.exists(keys_of(auction_id).auction)
        return [
            auction_id for auction_id, found in zip(auction_ids, pipe.execute(), strict=True) if not found
        ]

    def mark_ready(self) -> None:
        """Note in every shard that all its auctions are loaded: from now on, one without state does not exist."""
        pipe = self.client.pipeline(transaction=False)
        for shard in range(SHARDS):
            pipe.set(f"{shard_tag(shard)}:ready", 1)
        pipe.execute()
