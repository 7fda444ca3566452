"""How many records a second write-back brings to PostgreSQL, and what the indexes of search and sweeps cost it.

    ./neighborbid exec python -m bench.write_back

While the system is up. It makes two databases of its own beside the system's, with `bench.listings`, one of them
without the indexes in `EXTRA`, and takes them away at the end. Each round writes to one and then to the other what bids
on many live auctions might log in a second, in one transaction, as the task does. The last lines are the pace in both,
and the ratio.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from itertools import count

import msgspec
import psycopg
from sqlalchemy import make_url, select

from bench import listings
from market import write_back
from market.times import to_ms
from server import settings
from store.database import SyncDatabase
from store.ids import SHARDS, new_id
from store.models import Auction, AuctionKind, AuctionStatus
from store.records import BidRecord

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
                .limit(wanted)
            )
        )


def _bids(auction: Auction) -> Iterator[BidRecord]:
    """Bids that go on from what is stored, by two bidders in turns."""
    assert auction.leader_id is not None
    bidders = (auction.leader_id, auction.seller_id)
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
            outbid=str(bidders[(number + 1) % 2]),
            next_minimum=price + INCREMENT,
            ends_at=to_ms(auction.ends_at),
            extended=False,
            bids=auction.bids + number,
            bought=False,
            reserve_met=True,
            buy_now=0,
        )


def _rounds(url: str, auctions: int, records: int) -> Iterator[float]:
    """The seconds that each round takes."""
    database = SyncDatabase(url)
    found = _auctions(database, auctions)
    if len(found) < auctions:
        raise SystemExit(f"only {len(found)} live auctions have bids: more --listings, or fewer --auctions")
    streams = [(auction.shard, _bids(auction)) for auction in found]
    entry = count(1)
    while True:
        logs: list[list[tuple[str, bytes]]] = [[] for _ in range(SHARDS)]
        for number in range(records):
            shard, bids = streams[number % auctions]
            logs[shard].append((f"{next(entry)}-0", msgspec.json.encode(next(bids))))
        started = time.perf_counter()
        with database.transaction() as session:
            written = write_back.write(session, write_back.positions(session), logs)
        yield time.perf_counter() - started
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
    owner_url = settings.load(os.environ).owner_database_url
    url = listings.own_database(owner_url, DATABASE, options.listings)
    without = make_url(url).set(database=WITHOUT).render_as_string(hide_password=False)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        try:
            connection.execute(f"DROP DATABASE IF EXISTS {WITHOUT} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {WITHOUT} TEMPLATE {DATABASE}")
            with psycopg.connect(without, autocommit=True) as other:
                for name in EXTRA:
                    other.execute(f"DROP INDEX {name}")
            both = [_rounds(one, options.auctions, options.records) for one in (url, without)]
            taken_s = [[next(rounds) for rounds in both] for _ in range(options.rounds)]
        finally:
            for name in (DATABASE, WITHOUT):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    with_all, less = (options.records / statistics.median(times) for times in zip(*taken_s, strict=True))
    print(f"with all indexes: {with_all:,.0f} records/s")
    print(f"without those of search and sweeps: {less:,.0f} records/s")
    print(f"ratio: {with_all / less:.2f}")


if __name__ == "__main__":
    main()
