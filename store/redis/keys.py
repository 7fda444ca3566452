"""The names of keys and channels in Redis."""

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from store.ids import shard_of

WRITE_BACK_AT = "write_back:at"
"""The key where write-back notes the time (ms, Redis's clock) of its last success."""


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
    """The marker of a shard that has all mirrors of its neighbourhood auctions."""
    return f"{shard_tag(shard)}:mirrored"
