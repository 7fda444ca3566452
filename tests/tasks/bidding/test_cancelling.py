"""Cancelling live auctions: Redis decides, and whatever dies after that, the log brings it to PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select

from market.bidding import cancelling
from market.bidding.cancelling import Cancelled
from market.rules import BuyNowUntil
from store.models import AccountKind, AuctionStatus, Order, PaddleStatus
from store.redis.auctions import cancel_auction, place_bid
from store.redis.clients import SyncHot
from store.redis.keys import keys_of
from store.redis.records import BidRecord, Rejection, SealRecord
from tasks.bidding.hot_state import close_due, load_missing
from tasks.bidding.settlement import settle_due
from tasks.bidding.write_back import drain
from tests.support.stage import LIMIT, Stage


def cancel(stage: Stage, auction: UUID, force: bool = False) -> SealRecord | Rejection:
    return stage.resources.hot.run(cancel_auction(auction, force=force))


def sweep(stage: Stage) -> None:
    """What beat does, twice: the second time changes nothing."""
    for _ in range(2):
        close_due(stage.resources)
        drain(stage.resources)
        settle_due(stage.resources)


def orders(stage: Stage, auction: UUID) -> int:
    with stage.resources.database.transaction() as session:
        return session.scalar(select(func.count()).where(Order.auction_id == auction)) or 0


def test_before_the_first_bid_a_cancelled_auction_gives_every_paddle_back(stage: Stage) -> None:
    auction = stage.auction()
    bidders = [stage.bidder(auction) for _ in range(2)]

    seal = cancel(stage, auction)

    assert isinstance(seal, SealRecord)
    assert (seal.cancelled, seal.seq, seal.leader) == (True, 1, "")
    assert cancelling._decided_at(seal) == seal.at
    assert stage.refused(auction, bidders[0], 5_000) == "cancelled"
    assert cancel(stage, auction, force=True) == seal
    sweep(stage)
    stored = stage.stored(auction)
    assert (stored.status, stored.hammer_price, stored.sealed_seq) == (AuctionStatus.CANCELLED, None, 1)
    for bidder in bidders:
        assert stage.balance(AccountKind.AVAILABLE, bidder) == LIMIT
        assert stage.paddle(auction, bidder).status == PaddleStatus.RELEASED
    assert (orders(stage, auction), stage.alarms(auction)) == (0, [])
    load_missing(stage.resources)
    assert stage.refused(auction, bidders[0], 5_000) == "cancelled"
    stage.check_ledger()


def test_what_has_bids_goes_on_unless_forced(stage: Stage) -> None:
    auction = stage.auction()
    leader, other = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, leader, 5_000)
    refused = cancel(stage, auction)
    assert isinstance(refused, Rejection)
    assert refused.code == "has_bids"
    stage.bid(auction, other, 9_000)

    seal = cancel(stage, auction, force=True)

    assert isinstance(seal, SealRecord)
    assert (seal.cancelled, seal.seq, seal.price, seal.leader) == (True, 3, 5_100, "")
    sweep(stage)
    stored = stage.stored(auction)
    assert (stored.status, stored.hammer_price, stored.bids) == (AuctionStatus.CANCELLED, None, 2)
    assert [stage.balance(AccountKind.AVAILABLE, bidder) for bidder in (leader, other)] == [LIMIT] * 2
    assert (orders(stage, auction), stage.alarms(auction)) == (0, [])
    stage.check_ledger()


@pytest.mark.parametrize("force", [False, True])
def test_without_hot_state_nothing_is_cancelled(stage: Stage, force: bool) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.resources.hot.client.flushdb()
    refused = cancel(stage, auction, force)
    assert isinstance(refused, Rejection)
    assert refused.code == "unavailable"
    sweep(stage)
    assert stage.stored(auction).status == AuctionStatus.PUBLISHED
    load_missing(stage.resources)
    stage.bid(auction, bidder, 5_000)


def test_what_redis_loses_after_the_record_was_read_stays_cancelled(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)
    cancel(stage, auction, force=True)
    drain(stage.resources)
    stage.resources.hot.client.flushdb()
    load_missing(stage.resources)
    sweep(stage)
    assert stage.stored(auction).status == AuctionStatus.CANCELLED
    assert stage.refused(auction, bidder, 9_000) == "unknown_auction"


def test_the_sale_of_a_hammer_that_fell_first_can_be_called_off_until_it_is_settled(stage: Stage) -> None:
    auction = stage.auction(buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    buyer = stage.bidder(auction)
    stage.buy_now(auction, buyer)
    seal = cancel(stage, auction, force=True)
    assert isinstance(seal, SealRecord)
    assert not seal.cancelled
    drain(stage.resources)

    with stage.resources.database.transaction() as session:
        cancelling.forced(session, auction, None)

    stage.log_anything(auction, msgspec.json.encode(seal))
    sweep(stage)
    assert stage.stored(auction).status == AuctionStatus.CANCELLED
    assert stage.balance(AccountKind.AVAILABLE, buyer) == LIMIT
    assert orders(stage, auction) == 0
    stage.check_ledger()


@pytest.mark.parametrize("force", [False, True])
def test_under_fire_of_bids_no_hold_and_no_bid_is_left_after_the_cancelling(
    stage: Stage, redis_url: str, force: bool
) -> None:
    auction = stage.auction()
    bidders = [stage.bidder(auction) for _ in range(8)]
    start = Barrier(len(bidders) + 1, timeout=30)

    def bids(bidder: UUID) -> list[BidRecord | Rejection]:
        own = SyncHot.connect(redis_url)
        start.wait()
        answers = [own.run(place_bid(auction, bidder, f"r{n}", 1_000 + 500 * n)) for n in range(60)]
        own.client.close()
        return answers

    def call_off() -> SealRecord | Rejection:
        own = SyncHot.connect(redis_url)
        start.wait()
        answer = own.run(cancel_auction(auction, force=force))
        own.client.close()
        return answer

    with ThreadPoolExecutor(len(bidders) + 1) as threads:
        seal_of = threads.submit(call_off)
        answers = [answer for found in threads.map(bids, bidders) for answer in found]
    accepted = [answer for answer in answers if isinstance(answer, BidRecord)]
    seal = seal_of.result()
    if isinstance(seal, Rejection):
        assert seal.code == "has_bids"
        assert accepted
        seal = cancel(stage, auction, force=True)
    assert isinstance(seal, SealRecord)
    assert sorted(record.seq for record in accepted) == list(range(1, seal.seq))

    sweep(stage)

    assert stage.stored(auction).status == AuctionStatus.CANCELLED
    assert len(stage.bids(auction)) == len(accepted) == seal.bids
    assert {stage.balance(AccountKind.AVAILABLE, bidder) for bidder in bidders} == {LIMIT}
    assert {stage.balance(AccountKind.HELD, bidder) for bidder in bidders} == {0}
    assert (orders(stage, auction), stage.alarms(auction)) == (0, [])
    stage.check_ledger()


def test_a_cancelled_auction_with_an_alarm_gives_the_money_back_once_somebody_has_looked(
    stage: Stage,
) -> None:
    auction = stage.auction()
    first, second = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, first, 5_000)
    redis: Any = stage.resources.hot.client
    redis.delete(keys_of(auction).log)
    stage.bid(auction, second, 9_000)
    seal = cancel(stage, auction, force=True)
    sweep(stage)
    assert stage.stored(auction).status == AuctionStatus.SEALED
    assert stage.balance(AccountKind.HELD, second) == LIMIT

    with stage.resources.database.transaction() as session:
        outcome = cancelling.forced(session, auction, "Words of somebody else.")

    assert isinstance(seal, SealRecord)
    stored = stage.stored(auction)
    assert outcome == Cancelled(auction, seal.at)
    assert stored.cancel_reason is None
    assert stored.status == AuctionStatus.CANCELLED
    assert [stage.balance(AccountKind.AVAILABLE, bidder) for bidder in (first, second)] == [LIMIT] * 2
    stage.check_ledger()
