"""How many records a second write-back brings to PostgreSQL, and what the indexes of search and sweeps, and notifying
outbid bidders, cost it.

    ./neighborbid exec python -m bench.write_back

While the system is up. It makes two databases of its own beside the system's, with `bench.listings`, one of them
without the indexes in `EXTRA`, and takes them away at the end. Each round writes to one and then to the other what bids
on many live auctions might log in a second, in one transaction, as the task does; then to the first again as many by
which nobody is outbid. The last lines are the pace and the CPU time of this process in each, and the ratios.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import msgspec
import psycopg
from sqlalchemy import make_url, select

from bench import listings
from market.bidding import write_back
from market.times import to_ms
from server import settings
from store.database import SyncDatabase
from store.ids import SHARDS, new_id
from store.models import Auction, AuctionKind, AuctionStatus
from store.redis.records import BidRecord

DATABASE, WITHOUT = "neighborbid_bench_write_back", "neighborbid_bench_write_back_without"
EXTRA = (
    "ix_auctions_asked_id",
    "ix_auctions_bids_id",
    "ix_auctions_category_code_id",
    "ix_auctions_cell",
    "ix_auctions_copies",
    "ix_auctions_region_code",
    "ix_auctions_unmirrored",
    "ix_bids_bidder_id_auction_id_seq",
)
"""What write-back itself does not need."""
INCREMENT = 1_000
DAY_MS = 86_400_000


def _auctions(database: SyncDatabase, wanted: int) -> list[Auction]:
    with database.transaction() as session:
        return list(
            session.scalars(
                select(Auction)
                .where(
                    Auction.status == AuctionStatus.PUBLISHED,
                    Auction.kind == AuctionKind.LIVE,
                    Auction.leader_id.is_not(None),
                )
                .order_by(Auction.id)
                .limit(wanted)
            )
        )


def _bids(auction: Auction, outbidding: bool) -> Iterator[BidRecord]:
    """Bids that go on from what is stored: by two bidders in turns, or all by who leads."""
    assert auction.leader_id is not None
    bidders = (auction.leader_id, auction.seller_id if outbidding else auction.leader_id)
    for number in count(1):
        bidder, price = bidders[number % 2], auction.price + number * INCREMENT
        yield BidRecord(
            auction=auction.id,
            epoch=auction.epoch,
            seq=auction.seq + number,
            at=to_ms(auction.ends_at) - DAY_MS + number,
            bidder=bidder,
            paddle=1 + number % 2,
            ref=str(new_id()),
            maximum=price,
            price=price,
            leader=bidder,
            leader_paddle=1 + number % 2,
            leader_maximum=price,
            outbid=str(bidders[(number + 1) % 2]) if outbidding else "",
            next_minimum=price + INCREMENT,
            ends_at=to_ms(auction.ends_at),
            extended=False,
            bids=auction.bids + number,
            bought=False,
            reserve_met=True,
            buy_now=0,
        )


class Taken(NamedTuple):
    """What a round takes."""

    wall_s: float
    cpu_s: float


def _rounds(url: str, auctions: int, records: int, *, outbidding: bool = True) -> Iterator[Taken]:
    """What each round takes. The auctions in which nobody is outbid are others."""
    database = SyncDatabase(url)
    found = _auctions(database, 2 * auctions)
    if len(found) < 2 * auctions:
        raise SystemExit(f"only {len(found)} live auctions have bids: more --listings, or fewer --auctions")
    used = found[:auctions] if outbidding else found[auctions:]
    streams = [(auction.shard, _bids(auction, outbidding)) for auction in used]
    entry = count(1)
    while True:
        logs: list[list[tuple[str, bytes]]] = [[] for _ in range(SHARDS)]
        for number in range(records):
            shard, bids = streams[number % auctions]
            logs[shard].append((f"{next(entry)}-0", msgspec.json.encode(next(bids))))
        started, cpu_started = time.perf_counter(), time.process_time()
        with database.transaction() as session:
            written = write_back.write(session, write_back.positions(session), logs)
        yield Taken(time.perf_counter() - started, time.process_time() - cpu_started)
        assert written is not None
        assert not written.alarms


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--listings", type=int, default=100_000)
    parser.add_argument("--auctions", type=int, default=500)
    parser.add_argument("--records", type=int, default=5_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    owner_url = settings.load(os.environ).postgres.owner_url
    url = listings.own_database(owner_url, DATABASE, options.listings)
    without = make_url(url).set(database=WITHOUT).render_as_string(hide_password=False)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        try:
            connection.execute(f"DROP DATABASE IF EXISTS {WITHOUT} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {WITHOUT} TEMPLATE {DATABASE}")
            with psycopg.connect(without, autocommit=True) as other:
                for name in EXTRA:
                    other.execute(f"DROP INDEX {name}")
            sources = [
                *(_rounds(one, options.auctions, options.records) for one in (url, without)),
                _rounds(url, options.auctions, options.records, outbidding=False),
            ]
            taken = [[next(rounds) for rounds in sources] for _ in range(options.rounds)]
        finally:
            for name in (DATABASE, WITHOUT):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    with_all, less, untold = (
        Taken(*(statistics.median(figures) for figures in zip(*rounds, strict=True)))
        for rounds in zip(*taken, strict=True)
    )
    for name, median in (
        ("with all indexes", with_all),
        ("without those of search and sweeps", less),
        ("with all indexes, nobody is outbid", untold),
    ):
        pace, cpu_us = options.records / median.wall_s, median.cpu_s / options.records * 1_000_000
        print(f"{name}: {pace:,.0f} records/s, {cpu_us:.0f} us of CPU each")
    print(f"ratio of the paces, with all indexes to without: {less.wall_s / with_all.wall_s:.2f}")
    print(f"ratio of the CPU times, all outbid to nobody: {with_all.cpu_s / untold.cpu_s:.2f}")


if __name__ == "__main__":
    main()
