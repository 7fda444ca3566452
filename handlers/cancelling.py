"""What doors do after the commit of a use-case of `market.bidding.cancelling`."""

from uuid import UUID

import msgspec

from handlers.mirroring import tell_viewers
from market.bidding import cancelling
from market.bidding.cancelling import Cancelling
from store.redis.hot import Hot, cancel_auction


class Cancelled(msgspec.Struct, frozen=True):
    """An auction that is over without a winner. Time in ms."""

    auction_id: UUID
    cancelled_at: int


async def complete(hot: Hot, outcome: Cancelling) -> Cancelled:
    """Have Redis decide a live auction, and tell the viewers of a neighbourhood auction.

    Refuses as `cancelling.decided_at`. Raises `redis.RedisError` if Redis cannot decide: it has done it or not, and
    may be asked again.
    """
    at = outcome.cancelled_at
    if at is None:
        call = cancel_auction(outcome.auction_id, force=outcome.force)
        at = cancelling.decided_at(await hot.run(call))
    if outcome.mirror is not None:
        await tell_viewers(hot, outcome.mirror)
    return Cancelled(outcome.auction_id, at)
