"""Keeping the hot state and PostgreSQL in step: ends, lost state, paddles. The safety net of the other doors."""

from collections.abc import Sequence
from uuid import UUID

import redis
import structlog

from market.bidding import hot_state, paddles, write_back
from store.redis import auctions, streams
from store.redis.auctions import load_auction, seal_auction
from store.redis.records import SealRecord
from tasks.app import Resources, periodic
from tasks.bidding.write_back import drain

log = structlog.get_logger()

LOADED_AT_ONCE = 500
"""Auctions that are loaded in one transaction. Their rows are locked for as long as it takes, some 0.1 s."""

UNSYNCED_S = 3
"""The REST process that changed a paddle tells Redis itself; what is older than this it could not."""


@periodic("tasks.auctions.close_due", every_s=1)
def close_due(resources: Resources) -> None:
    """Seal what has come to its end by Redis's clock. Usually a realtime process was faster; then nothing changes."""
    for auction_id, _ in resources.hot.run(auctions.due(resources.hot.now_ms())):
        if isinstance(resources.hot.run(seal_auction(auction_id)), SealRecord):
            log.info("auction_sealed", auction=str(auction_id))


@periodic("tasks.auctions.load_missing", every_s=5)
def load_missing(resources: Resources) -> None:
    """Load every running auction that has no hot state: Redis lost it, or nobody could load it when it was published.

    An auction without hot state gets no new records, so after a drain PostgreSQL knows all it ever had. Somebody else
    may load it at the same time: loading never replaces anything. Until all are loaded no shard is marked as ready,
    and the scripts refuse what they do not find as unavailable. One that cannot be loaded keeps no other from it.
    """
    with resources.database.transaction() as session:
        wanted = hot_state.to_load(session)
    missing = resources.hot.run(auctions.unloaded(wanted))
    if missing and not drain(resources):
        return
    batches = [missing[start : start + LOADED_AT_ONCE] for start in range(0, len(missing), LOADED_AT_ONCE)]
    failed = [auction_id for batch in batches for auction_id in _load(resources, batch)]
    if not failed:
        resources.hot.run(auctions.mark_ready())


def _load(resources: Resources, auction_ids: Sequence[UUID]) -> list[UUID]:
    """Load them together, or one by one if one of them does not let it. Answers those that cannot be loaded."""
    try:
        with resources.database.transaction() as session:
            states = hot_state.hot_states(session, auction_ids)
        loaded = resources.hot.run_all([load_auction(state) for state in states])
    except (redis.ConnectionError, redis.TimeoutError):
        raise
    except Exception:
        if len(auction_ids) > 1:
            return [failed for auction_id in auction_ids for failed in _load(resources, [auction_id])]
        log.exception("load_failed", auction=str(auction_ids[0]))
        return list(auction_ids)
    if any(loaded):
        log.warning("auctions_loaded", count=sum(loaded))
    return []


@periodic("tasks.auctions.check_logs", every_s=5)
def check_logs(resources: Resources) -> None:
    """Notice that Redis lost the end of a log that PostgreSQL has already read, as after a power cut."""
    with resources.database.transaction() as session:
        positions = write_back.positions(session)
    ends = resources.hot.run(streams.log_ends())
    with resources.database.transaction() as session:
        write_back.behind(session, positions, ends)


@periodic("tasks.auctions.sweep_paddles", every_s=5)
def sweep_paddles(resources: Resources) -> None:
    """Bring to Redis the paddles that a crash kept from it, and finish or cancel what was being given back.

    Without hot state nothing can be said: it may be on its way into Redis with the paddle still in it. The next
    sweep will know.
    """
    with resources.database.transaction() as session:
        paddles.bring_unsynced(session, UNSYNCED_S)
