"""Draining the logs: exactly once, whatever crashes, however many run."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

import msgspec
import psycopg
import pytest
import redis
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from market.bidding import write_back
from store.database import SyncDatabase
from store.models import AuctionStatus
from store.redis.auctions import place_bid
from store.redis.calls import Batch, Call
from store.redis.clients import SyncHot
from store.redis.keys import WRITE_BACK_AT, keys_of
from store.redis.records import BidRecord
from tasks.app import DEFAULT, Resources
from tasks.bidding.write_back import BATCH, drain, write_back_logs
from tests.support.stage import Stage

MANY = 20_000


T = TypeVar("T")


class Crash(BaseException):
    """The process dies here."""


class DyingDatabase(SyncDatabase):
    """Dies at the end of its second transaction, which writes the records."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
            self.transactions += 1
            if self.transactions == 2:
                session.flush()
                raise Crash


class Interrupted(SyncHot):
    """Redis for a drain to which something happens `before` the logs are trimmed, or `after` it."""

    def __init__(
        self,
        hot: SyncHot,
        before: Callable[[], object] = lambda: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(hot.client)
        self.before, self.after = before, after

    def run(self, call: Call[T] | Batch[T]) -> T:
        if not (isinstance(call, Batch) and call.ask.__qualname__.startswith("trim_logs.")):
            return super().run(call)
        self.before()
        answer = super().run(call)
        self.after()
        return answer


def crash() -> None:
    raise Crash


def test_an_accepted_bid_is_stored_once_and_leaves_the_log(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)

    assert drain(stage.resources)
    assert drain(stage.resources)

    assert stage.bids(auction) == [(1, 1, bidder, 5_000)]
    assert stage.logged(auction) == 0


def test_the_watchdog_is_told_the_time_before_which_all_is_stored(stage: Stage) -> None:
    before = stage.resources.hot.now_ms()

    write_back_logs(stage.resources)

    told = stage.resources.hot.client.get(WRITE_BACK_AT)
    assert told is not None
    assert before <= int(told) <= stage.resources.hot.now_ms()


@pytest.fixture(params=["before the commit", "before the trim", "after the trim"])
def dying(request: pytest.FixtureRequest, stage: Stage, database_url: str) -> Iterator[tuple[str, Resources]]:
    """When the process dies, and the resources with which it does."""
    hot = stage.resources.hot
    dying_database = DyingDatabase(database_url)
    yield (
        request.param,
        {
            "before the commit": replace(stage.resources, database=dying_database),
            "before the trim": replace(stage.resources, hot=Interrupted(hot, before=crash)),
            "after the trim": replace(stage.resources, hot=Interrupted(hot, after=crash)),
        }[request.param],
    )
    dying_database.dispose()


def test_a_crash_leaves_nothing_lost_and_nothing_twice(stage: Stage, dying: tuple[str, Resources]) -> None:
    auction = stage.auction()
    one, two = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, one, 5_000)
    stage.bid(auction, two, 6_000)
    moment, resources = dying

    with pytest.raises(Crash):
        drain(resources)
    assert stage.resources.hot.client.get(WRITE_BACK_AT) is None
    assert stage.bids(auction) == (
        [] if moment == "before the commit" else [(1, 1, one, 5_000), (1, 2, two, 6_000)]
    )
    stage.bid(auction, one, 7_000)
    assert drain(stage.resources)

    assert stage.bids(auction) == [(1, 1, one, 5_000), (1, 2, two, 6_000), (1, 3, one, 7_000)]
    assert stage.alarms(auction) == []
    assert stage.logged(auction) == 0


class CutDatabase(SyncDatabase):
    """PostgreSQL ends all its connections just before the commit that stores the records, as in a restart."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.owner_url = url
        self.transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
            self.transactions += 1
            if self.transactions == 2:
                session.flush()
                pid = session.scalars(select(func.pg_backend_pid())).one()
                with psycopg.connect(self.owner_url, autocommit=True) as owner:
                    assert owner.execute("SELECT pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)


def test_a_restart_of_postgresql_in_the_middle_of_a_run_is_made_good_by_the_next(
    stage: Stage, database_url: str
) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)
    resources = replace(stage.resources, database=CutDatabase(database_url))

    with pytest.raises(OperationalError):
        drain(resources)
    assert stage.bids(auction) == []
    assert drain(resources)

    assert stage.bids(auction) == [(1, 1, bidder, 5_000)]
    assert stage.logged(auction) == 0
    resources.database.dispose()


def test_what_is_logged_between_reading_and_trimming_survives(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)

    late = Interrupted(stage.resources.hot, before=lambda: stage.bid(auction, bidder, 6_000))
    drain(replace(stage.resources, hot=late))

    assert [seq for _, seq, _, _ in stage.bids(auction)] == [1]
    assert stage.logged(auction) == 1
    drain(stage.resources)
    assert [seq for _, seq, _, _ in stage.bids(auction)] == [1, 2]


def place_many(stage: Stage, auctions: list[UUID], total: int) -> None:
    """`total` accepted bids, pipelined; in each auction two bidders raise the price by turns."""
    limit = 2**50
    bidders = {auction: (stage.bidder(auction, limit), stage.bidder(auction, limit)) for auction in auctions}
    stage.bid(auctions[0], bidders[auctions[0]][1], 1_000)
    pipe = stage.resources.hot.client.pipeline(transaction=False)
    for number in range(1, total):
        auction = auctions[number % len(auctions)]
        turn = number // len(auctions)
        call = place_bid(auction, bidders[auction][turn % 2], f"m{number}", 1_000_000 + 1_000 * turn)
        pipe.evalsha(call.script.sha, len(call.keys), *call.keys, *call.args)
    for answer in pipe.execute():
        assert isinstance(call.parse(answer), BidRecord), answer


def test_many_records_keep_their_order_over_many_batches(stage: Stage) -> None:
    auctions = [stage.auction() for _ in range(3)]
    place_many(stage, auctions, MANY)
    assert MANY // len(auctions) > 3 * BATCH

    assert drain(stage.resources)

    stored = [stage.bids(auction) for auction in auctions]
    assert sum(map(len, stored)) == MANY
    for auction, bids in zip(auctions, stored, strict=True):
        assert [seq for _, seq, _, _ in bids] == list(range(1, len(bids) + 1))
        assert stage.stored(auction).leader_maximum == max(maximum for _, _, _, maximum in bids)
        assert stage.alarms(auction) == []


def test_runs_that_overlap_store_everything_once(stage: Stage) -> None:
    auctions = [stage.auction() for _ in range(2)]
    place_many(stage, auctions, 5_000)

    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda _: drain(stage.resources), range(6)))

    assert True in done
    assert sum(len(stage.bids(auction)) for auction in auctions) == 5_000
    assert [stage.alarms(auction) for auction in auctions] == [[], []]


def test_a_run_stops_at_once_while_another_writes(stage: Stage) -> None:
    auction = stage.auction()
    stage.bid(auction, stage.bidder(auction), 5_000)

    with stage.resources.database.transaction() as session:
        assert write_back.begin(session) is not None
        assert not drain(stage.resources)

    assert stage.bids(auction) == []
    assert stage.resources.hot.client.get(WRITE_BACK_AT) is None


def test_garbage_in_the_log_stops_nothing(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    alarms = len(stage.alarms(None))
    stage.bid(auction, bidder, 5_000)
    stage.log_anything(auction, b"\xff\x00{")
    stage.resources.hot.client.xadd(keys_of(auction).log, {"something": "else"})
    stage.bid(auction, bidder, 6_000)

    assert drain(stage.resources)

    assert [seq for _, seq, _, _ in stage.bids(auction)] == [1, 2]
    assert stage.alarms(None)[alarms:] == ["undecodable"] * 2
    assert drain(stage.resources)
    assert len(stage.alarms(None)) == alarms + 2


def test_other_content_under_a_stored_number_keeps_the_auction_from_being_settled(stage: Stage) -> None:
    auction = stage.auction()
    bid = stage.bid(auction, stage.bidder(auction), 5_000)
    drain(stage.resources)
    stage.log_anything(auction, msgspec.json.encode(msgspec.structs.replace(bid, maximum=6_000)))
    stage.seal(auction)

    drain(stage.resources)

    assert stage.alarms(auction) == ["conflict"]
    assert [maximum for _, _, _, maximum in stage.bids(auction)] == [5_000]
    assert stage.stored(auction).status == AuctionStatus.SEALED


def test_a_repeated_record_is_ignored(stage: Stage) -> None:
    auction = stage.auction()
    bid = stage.bid(auction, stage.bidder(auction), 5_000)
    drain(stage.resources)
    stage.log_anything(auction, msgspec.json.encode(bid))

    drain(stage.resources)

    assert (stage.alarms(auction), len(stage.bids(auction))) == ([], 1)


def test_a_seal_is_written_back_and_its_settlement_left_to_a_worker(stage: Stage) -> None:
    auction = stage.auction()
    stage.bid(auction, stage.bidder(auction), 5_000)
    seal = stage.seal(auction)

    drain(stage.resources)

    stored = stage.stored(auction)
    assert (stored.status, stored.sealed_seq, stored.hammer_price) == (AuctionStatus.SEALED, seal.seq, 1_000)
    [message] = stage.resources.hot.client.lrange(DEFAULT, 0, -1)
    assert msgspec.json.decode(message)["headers"]["task"] == "tasks.settlement.settle"


def test_redis_away_is_an_error_and_changes_nothing(stage: Stage) -> None:
    away = replace(stage.resources, hot=SyncHot.connect("redis://127.0.0.1:1/0"))

    with pytest.raises(redis.ConnectionError):
        drain(away)
