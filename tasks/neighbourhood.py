"""Neighbourhood auctions: ending them on time, and the copies that their viewers see."""

import structlog
from redis import RedisError

from market import bidding
from market.bidding import Mirror
from store import mirrors
from tasks.app import Resources, periodic

log = structlog.get_logger()


@periodic(every_s=1)
def end_due(resources: Resources) -> None:
    """End and settle what has come to its end. One auction that fails keeps no other from it."""
    with resources.database.transaction() as session:
        due = bidding.due(session)
    for auction_id in due:
        try:
            with resources.database.transaction() as session:
                ended = bidding.close(session, auction_id)
        except Exception:
            log.exception("closing_failed", auction=str(auction_id))
            continue
        if ended is not None:
            log.info("auction_ended", auction=str(auction_id))
            try:
                _write(resources, ended)
            except RedisError as error:
                # Whatever Redis does, the others must end on time.
                log.warning("mirror_left_to_sweep", auction=str(auction_id), error=str(error))


@periodic(every_s=2)
def mirror_missing(resources: Resources) -> None:
    """Bring to Redis what a crash or its absence has kept from it."""
    lost = mirrors.lost_shards(resources.hot)
    if lost:
        with resources.database.transaction() as session:
            bidding.mirror_again(session, lost)
        mirrors.mark_shards(resources.hot, lost)
    while True:
        with resources.database.transaction() as session:
            missing = bidding.to_mirror(session)
        for mirror in missing:
            _write(resources, mirror)
        if len(missing) < bidding.BATCH:
            return


def _write(resources: Resources, mirror: Mirror) -> None:
    resources.hot.run(mirrors.mirror(mirror.auction, mirror.records, mirror.seal))
    with resources.database.transaction() as session:
        bidding.mirrored(session, mirror.auction.auction_id, mirror.auction.seq)
