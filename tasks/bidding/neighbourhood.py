"""Neighbourhood auctions: ending them on time, and the copies that their viewers see."""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from redis import RedisError

from market.bidding import neighbourhood
from market.work_queue import Due
from store.redis import mirrors
from tasks.app import Resources, periodic
from tasks.bidding.settlement import announce
from tasks.exclusive_runs import RUN_S, alone, each_due

log = structlog.get_logger()

MIRRORING = "neighbourhood:mirroring"
"""The key in Redis that a sweep of copies holds: a second one would only write the same."""


@periodic("tasks.neighbourhood.end_due", every_s=1)
def end_due(resources: Resources) -> None:
    """End and settle what has come to its end."""
    for ended in each_due(resources, neighbourhood.claim_due, neighbourhood.close, "closing_failed"):
        auction_id = ended.auction.auction_id
        log.info("auction_ended", auction=str(auction_id))
        try:
            resources.hot.run(mirrors.mirror(ended.auction, ended.records, ended.seal))
        except RedisError as error:
            # Whatever Redis does, the others must end on time.
            log.warning("mirror_left_to_sweep", auction=str(auction_id), error=str(error))
        announce(resources, ended.settled)


@periodic("tasks.neighbourhood.mirror_missing", every_s=2)
def mirror_missing(resources: Resources) -> None:
    """Bring to Redis what a crash or its absence has kept from it, and note what it has.

    A shard that has lost its data is marked when all its copies are there again: until then nobody says that an auction
    does not exist.
    """
    with alone(resources.hot, MIRRORING) as is_alone:
        if not is_alone:
            return
        lost = mirrors.lost_shards(resources.hot)
        if lost:
            _compare(resources)
        if _write_missing(resources):
            mirrors.mark_shards(resources.hot, lost)


@periodic("tasks.neighbourhood.check_copies", every_s=60)
def check_copies(resources: Resources) -> None:
    """Find the copies that Redis has lost, in part or whole, and those ahead of a PostgreSQL that was restored.

    The next sweep writes them again.
    """
    with alone(resources.hot, MIRRORING) as is_alone:
        if is_alone:
            _compare(resources)


def _compare(resources: Resources) -> None:
    last: Due | None = None
    while True:
        with resources.database.transaction() as session:
            batch = neighbourhood.looked_after(session, last)
        if not batch:
            return
        _note(resources, [auction_id for _, auction_id in batch])
        last = batch[-1]


def _write_missing(resources: Resources) -> bool:
    """Whether all that was missing has been written."""
    end = time.monotonic() + RUN_S
    last = None
    while time.monotonic() < end:
        with resources.database.transaction() as session:
            batch = neighbourhood.to_mirror(session, last)
        if not batch:
            return True
        for mirror in batch:
            resources.hot.run(mirrors.mirror(mirror.auction, mirror.records, mirror.seal))
        ids = [mirror.auction.auction_id for mirror in batch]
        _note(resources, ids)
        last = ids[-1]
    return False


def _note(resources: Resources, auction_ids: Sequence[UUID]) -> None:
    found = mirrors.found(resources.hot, auction_ids)
    with resources.database.transaction() as session:
        again = neighbourhood.note_copies(session, found)
    if again:
        log.warning("copies_to_repair", count=len(again))
