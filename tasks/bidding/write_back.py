"""Write-back: drains the log streams of Redis into PostgreSQL."""

import time

import structlog

from market.bidding import write_back
from store.redis import streams
from tasks.app import WRITE_BACK, Resources, periodic

log = structlog.get_logger()

BATCH = 2000
"""Records read of each shard at once. It bounds the memory: 64 full shards are some 200 MB."""

DRAIN_S = 30
"""A run that is still not done stops here; the next one goes on."""


@periodic("tasks.write_back.write_back_logs", every_s=1, queue=WRITE_BACK)
def write_back_logs(resources: Resources) -> None:
    """Bring to PostgreSQL what was accepted since the last run."""
    drain(resources)


def drain(resources: Resources) -> bool:
    """Write back until nothing is left. True when everything that was logged before the call is in PostgreSQL; False
    when another run is at work or there was too much for one run.

    A crash between any two steps is made good by the next run: it starts from the committed positions, and trims and
    says again what was not trimmed or said.
    """
    end = time.monotonic() + DRAIN_S
    while time.monotonic() < end:
        with resources.database.transaction() as session:
            positions = write_back.begin(session)
        if positions is None:
            return False
        read_at = resources.hot.now_ms()
        logs = resources.hot.run(streams.read_logs(positions, BATCH))
        if any(logs):
            with resources.database.transaction() as session:
                written = write_back.write(session, positions, logs)
            if written is None:
                return False
            positions = written.positions
            log.debug("written_back", records=written.records, sealed=len(written.sealed))
        resources.hot.run(streams.trim_logs(enumerate(positions)))
        if all(len(records) < BATCH for records in logs):
            resources.hot.run(streams.note_write_back(read_at))
            return True
    return False
