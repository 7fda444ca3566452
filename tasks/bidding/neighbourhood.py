"""Neighbourhood auctions: ending them on time, and the mirrors that their viewers see."""

import time
from collections.abc import Sequence
from uuid import UUID

import structlog

from market.bidding import neighbourhood
from market.work_queue import Due
from store.redis import auctions, mirrors
from tasks.app import Resources, periodic
from tasks.exclusive_runs import RUN_S, alone, do_due

log = structlog.get_logger()

MIRRORING = "neighbourhood:mirroring"
"""The key in Redis that a sweep of mirrors holds: a second one would only write the same."""


@periodic("tasks.neighbourhood.end_due", every_s=1)
def end_due(resources: Resources) -> None:
    """End and settle what has come to its end."""
    do_due(resources, neighbourhood.claim_due, neighbourhood.close, "closing_failed")


@periodic("tasks.neighbourhood.mirror_missing", every_s=2)
def mirror_missing(resources: Resources) -> None:
    """Bring to Redis what a crash or its absence has kept from it, and note what it has.

    A shard that has lost its data is marked when all its mirrors are there again: until then nobody says that an
    auction does not exist.
    """
    with alone(resources.hot, MIRRORING) as is_alone:
        if not is_alone:
            return
        lost = resources.hot.run(mirrors.lost_shards())
        if lost:
            _compare(resources)
        if _write_missing(resources):
            resources.hot.run(mirrors.mark_shards(lost))


@periodic("tasks.neighbourhood.check_copies", every_s=60)
def check_mirrors(resources: Resources) -> None:
    """Find the mirrors that Redis has lost, in part or whole, and those ahead of a PostgreSQL that was restored.

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
            batch = neighbourhood.mirror_missing(session, last)
        if not batch:
            return True
        _note(resources, batch)
        last = batch[-1]
    return False


def _note(resources: Resources, auction_ids: Sequence[UUID]) -> None:
    found = dict(zip(auction_ids, resources.hot.run(auctions.positions(auction_ids)), strict=True))
    with resources.database.transaction() as session:
        again = neighbourhood.note_mirrors(session, found)
    if again:
        log.warning("mirrors_to_repair", count=len(again))
