"""The safety net: ends that nobody saw, hot state that was lost, paddles that never arrived."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from market.bidding import hot_state, paddles, write_back
from market.rules import BuyNowUntil
from store.models import AccountKind, Auction, AuctionStatus, Paddle, PaddleStatus, Transfer, TransferKind
from store.redis import auctions
from store.redis.auctions import put_paddle
from store.redis.keys import keys_of
from tasks.bidding.hot_state import (
    LOADED_AT_ONCE,
    check_logs,
    close_due,
    load_missing,
    sweep_paddles,
)
from tasks.bidding.settlement import settle, settle_due
from tasks.bidding.write_back import drain
from tests.support.database import statements
from tests.support.factories import make_published_auction, make_user
from tests.support.stage import LIMIT, Stage

HOUR_MS = 3_600_000


def hot_field(stage: Stage, auction: UUID, field: str) -> str:
    value = stage.resources.hot.client.hget(keys_of(auction).auction, field)
    assert isinstance(value, bytes)
    return value.decode()


def age_paddles(stage: Stage, auction: UUID) -> None:
    """As if the paddles had last been changed a minute ago."""
    with stage.resources.database.transaction() as session:
        session.execute(
            update(Paddle)
            .where(Paddle.auction_id == auction)
            .values(updated_at=func.now() - timedelta(minutes=1))
        )


def test_an_auction_whose_end_has_come_is_sealed_and_sold(stage: Stage) -> None:
    auction = stage.auction()
    loser, winner = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, loser, 5_000)
    stage.bid(auction, winner, 9_000)
    stage.end(auction)

    close_due(stage.resources)
    drain(stage.resources)
    settle(stage.resources, str(auction))

    stored = stage.stored(auction)
    assert (stored.status, stored.hammer_price, stored.leader_id) == (AuctionStatus.SOLD, 5_100, winner)
    assert stage.balance(AccountKind.AVAILABLE, winner) == LIMIT - 5_100
    assert stage.balance(AccountKind.AVAILABLE, loser) == LIMIT
    stage.check_ledger()


def test_of_equal_maxima_the_earlier_wins(stage: Stage) -> None:
    auction = stage.auction()
    first, second = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, first, 9_000)
    stage.bid(auction, second, 9_000)
    stage.end(auction)

    close_due(stage.resources)
    drain(stage.resources)
    settle_due(stage.resources)

    stored = stage.stored(auction)
    assert (stored.leader_id, stored.hammer_price) == (first, 9_000)
    assert stage.balance(AccountKind.AVAILABLE, first) == LIMIT - 9_000


def test_an_auction_without_bids_is_not_sold(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.end(auction)

    close_due(stage.resources)
    drain(stage.resources)
    settle_due(stage.resources)

    assert stage.stored(auction).status == AuctionStatus.UNSOLD
    assert stage.balance(AccountKind.AVAILABLE, bidder) == LIMIT


def test_below_the_reserve_nothing_is_sold_and_all_money_goes_back(stage: Stage) -> None:
    auction = stage.auction(reserve=50_000)
    loser, leader = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, loser, 5_000)
    stage.bid(auction, leader, 49_999)
    stage.end(auction)

    for _ in range(2):
        close_due(stage.resources)
        drain(stage.resources)
        settle_due(stage.resources)

    stored = stage.stored(auction)
    assert (stored.status, stored.price, stored.hammer_price) == (AuctionStatus.UNSOLD, 5_100, None)
    assert [stage.balance(AccountKind.AVAILABLE, bidder) for bidder in (loser, leader)] == [LIMIT] * 2
    assert stage.alarms(auction) == []
    stage.check_ledger()


def test_who_buys_at_once_pays_that_price_once(stage: Stage) -> None:
    auction = stage.auction(buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    leader, buyer = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, leader, 90_000)
    stage.buy_now(auction, buyer)
    assert stage.refused(auction, leader, 95_000) == "closed"

    for _ in range(2):
        close_due(stage.resources)
        drain(stage.resources)
        settle_due(stage.resources)

    stored = stage.stored(auction)
    assert (stored.status, stored.hammer_price, stored.leader_id) == (AuctionStatus.SOLD, 20_000, buyer)
    assert stage.balance(AccountKind.AVAILABLE, buyer) == LIMIT - 20_000
    assert stage.balance(AccountKind.AVAILABLE, leader) == LIMIT
    assert stage.alarms(auction) == []
    stage.check_ledger()


def test_a_purchase_whose_seal_was_lost_is_sealed_after_the_next_load(stage: Stage) -> None:
    auction = stage.auction(buy_now=20_000, buy_now_until=BuyNowUntil.ALWAYS)
    other, buyer = stage.bidder(auction), stage.bidder(auction)
    load_missing(stage.resources)
    stage.buy_now(auction, buyer)
    redis: Any = stage.resources.hot.client
    [purchase, seal] = redis.xrange(keys_of(auction).log)
    assert b'"bought":true' in purchase[1][b"r"]
    redis.xdel(keys_of(auction).log, seal[0])
    drain(stage.resources)

    stage.resources.hot.client.flushdb()
    load_missing(stage.resources)
    assert stage.refused(auction, other, 30_000) == "closed"
    close_due(stage.resources)
    drain(stage.resources)
    settle_due(stage.resources)

    stored = stage.stored(auction)
    assert (stored.status, stored.hammer_price, stored.leader_id) == (AuctionStatus.SOLD, 20_000, buyer)
    assert stage.alarms(auction) == []


def test_reserve_and_buy_now_come_back_with_lost_hot_state(stage: Stage) -> None:
    auction = stage.auction(reserve=10_000, buy_now=20_000, buy_now_until=BuyNowUntil.RESERVE_MET)
    one, two = stage.bidder(auction), stage.bidder(auction)
    load_missing(stage.resources)
    stage.bid(auction, one, 5_000)
    drain(stage.resources)

    stage.resources.hot.client.flushdb()
    load_missing(stage.resources)
    before = stage.bid(auction, one, 9_999)
    after = stage.bid(auction, two, 10_000)

    assert (before.price, before.reserve_met, before.buy_now) == (1_000, False, 20_000)
    assert (after.price, after.reserve_met, after.buy_now) == (10_000, True, 0)


def test_an_auction_is_not_settled_before_its_seal_is_written_back(stage: Stage) -> None:
    auction = stage.auction()
    stage.bid(auction, stage.bidder(auction), 5_000)
    drain(stage.resources)
    stage.seal(auction)

    settle(stage.resources, str(auction))
    settle_due(stage.resources)

    assert stage.stored(auction).status == AuctionStatus.PUBLISHED


def test_one_auction_that_cannot_be_settled_does_not_stop_the_sweep(stage: Stage) -> None:
    broken, fine = stage.auction(), stage.auction()
    for auction in (broken, fine):
        bidder = stage.bidder(auction)
        stage.bid(auction, bidder, 5_000)
        stage.seal(auction)
    drain(stage.resources)
    with stage.resources.database.transaction() as session:
        # What no use-case would do: somebody without a paddle is made the winner.
        session.get_one(Auction, broken).leader_id = make_user(session)

    settle_due(stage.resources)

    assert stage.stored(broken).status == AuctionStatus.SEALED
    assert stage.alarms(broken) == ["money_refused"]
    assert stage.stored(fine).status == AuctionStatus.SOLD


def test_the_clock_of_redis_says_when_an_auction_is_over(stage: Stage) -> None:
    """PostgreSQL thinks it has long ended; in Redis a soft close has moved the end."""
    auction = stage.auction()
    keys, later = keys_of(auction), stage.resources.hot.now_ms() + HOUR_MS
    stage.resources.hot.client.hset(keys.auction, "ends_at", later)
    stage.resources.hot.client.zadd(keys.due, {str(auction): 1})

    close_due(stage.resources)

    assert stage.resources.hot.client.hget(keys.auction, "seal") is None
    assert stage.logged(auction) == 0


def test_closing_again_changes_nothing(stage: Stage) -> None:
    auction = stage.auction()
    stage.end(auction)

    close_due(stage.resources)
    stage.end(auction)
    close_due(stage.resources)

    assert stage.logged(auction) == 1


def test_lost_hot_state_comes_back_with_a_new_epoch_and_bids_go_on(stage: Stage) -> None:
    auction = stage.auction()
    one, two = stage.bidder(auction), stage.bidder(auction)
    load_missing(stage.resources)
    stage.bid(auction, one, 5_000)
    stage.bid(auction, two, 6_000)
    drain(stage.resources)
    epoch = stage.stored(auction).epoch

    stage.resources.hot.client.flushdb()
    assert stage.refused(auction, one, 7_000) == "unavailable"
    load_missing(stage.resources)
    bid = stage.bid(auction, one, 7_000)

    assert (bid.epoch, bid.seq, bid.bids, bid.outbid) == (epoch + 1, 3, 3, str(two))
    stage.seal(auction)
    drain(stage.resources)
    assert stage.bids(auction) == [(epoch, 1, one, 5_000), (epoch, 2, two, 6_000), (epoch + 1, 3, one, 7_000)]
    assert stage.alarms(auction) == []
    settle(stage.resources, str(auction))
    assert stage.stored(auction).status == AuctionStatus.SOLD
    stage.check_ledger()


def test_what_was_not_yet_written_back_is_before_the_auction_is_loaded_again(stage: Stage) -> None:
    auction = stage.auction()
    one, two = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, one, 5_000)
    keys = keys_of(auction)
    stage.resources.hot.client.delete(keys.auction, keys.paddles, keys.history)

    load_missing(stage.resources)

    assert stage.bids(auction) == [(1, 1, one, 5_000)]
    assert stage.bid(auction, two, 6_000).seq == 2


def test_without_a_drain_nothing_is_loaded_and_no_shard_is_ready(stage: Stage) -> None:
    with stage.resources.database.transaction() as session:
        auction = make_published_auction(session).id
    with stage.resources.database.transaction() as session:
        write_back.begin(session)
        load_missing(stage.resources)

    assert stage.resources.hot.run(auctions.unloaded([auction])) == [auction]
    assert not stage.resources.hot.client.exists(keys_of(auction).ready)


def test_an_auction_that_nobody_loaded_is_loaded(stage: Stage) -> None:
    with stage.resources.database.transaction() as session:
        auction = make_published_auction(session).id

    load_missing(stage.resources)

    assert hot_field(stage, auction, "epoch") == "1"
    assert stage.resources.hot.client.exists(keys_of(auction).ready)
    assert stage.resources.hot.client.zscore(keys_of(auction).due, str(auction)) is not None


def test_one_auction_that_cannot_be_loaded_keeps_no_other_from_it(stage: Stage) -> None:
    with stage.resources.database.transaction() as session:
        broken, fine = (make_published_auction(session).id for _ in range(2))
        session.get_one(Auction, broken).increments = [[1]]
        session.get_one(Auction, broken).ends_at = func.now() + timedelta(minutes=1)

    load_missing(stage.resources)

    assert stage.resources.hot.run(auctions.unloaded([broken, fine])) == [broken]
    assert not stage.resources.hot.client.exists(keys_of(fine).ready)
    with stage.resources.database.transaction() as session:
        session.get_one(Auction, broken).increments = [[0, 1]]
    load_missing(stage.resources)
    assert stage.resources.hot.client.exists(keys_of(fine).ready)


def test_hundreds_are_loaded_with_few_statements(stage: Stage) -> None:
    with stage.resources.database.transaction() as session:
        seller = make_user(session)
        lost = [make_published_auction(session, seller).id for _ in range(LOADED_AT_ONCE // 2)]
    bidders = {auction: stage.bidder(auction, tell_redis=False) for auction in lost[:3]}

    with statements() as seen:
        load_missing(stage.resources)

    assert len(seen) <= 20, seen
    assert stage.resources.hot.run(auctions.unloaded(lost)) == []
    assert [stage.bid(auction, bidder, 5_000).epoch for auction, bidder in bidders.items()] == [1, 1, 1]
    assert stage.refused(lost[3], bidders[lost[0]], 5_000) == "no_paddle"


def test_what_is_loaded_is_left_alone(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)

    load_missing(stage.resources)

    assert hot_field(stage, auction, "seq") == "1"
    assert stage.stored(auction).epoch == 1


def test_a_load_that_comes_second_replaces_nothing(stage: Stage) -> None:
    """Publishing and the sweep may both load: here the sweep's state is older by a bid."""
    auction = stage.auction()
    with stage.resources.database.transaction() as session:
        state = hot_state.hot_state(session, auction)
    assert state is not None
    stage.bid(auction, stage.bidder(auction), 5_000)

    assert not stage.load(state)

    assert hot_field(stage, auction, "seq") == "1"
    drain(stage.resources)
    assert stage.alarms(auction) == []


def test_a_sealed_auction_is_not_loaded_again(stage: Stage) -> None:
    auction = stage.auction()
    stage.seal(auction)
    keys = keys_of(auction)
    stage.resources.hot.client.delete(keys.auction, keys.paddles, keys.history)

    load_missing(stage.resources)

    assert stage.stored(auction).status == AuctionStatus.SEALED
    assert stage.resources.hot.run(auctions.unloaded([auction])) == [auction]


def test_a_log_that_redis_lost_in_part_is_an_alarm(stage: Stage) -> None:
    auction = stage.auction()
    stage.bid(auction, stage.bidder(auction), 5_000)
    drain(stage.resources)
    check_logs(stage.resources)
    before = stage.alarms(None).count("log_behind")
    log = keys_of(auction).log
    stage.resources.hot.client.delete(log)
    stage.resources.hot.client.xadd(log, {"r": b""}, id="1-1")

    check_logs(stage.resources)
    check_logs(stage.resources)

    assert stage.alarms(None).count("log_behind") == before + 1


def test_a_paddle_that_a_crash_kept_from_redis_is_put_by_the_sweep(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction, tell_redis=False)
    assert stage.refused(auction, bidder, 5_000) == "no_paddle"
    age_paddles(stage, auction)

    sweep_paddles(stage.resources)

    stage.bid(auction, bidder, 5_000)
    paddle = stage.paddle(auction, bidder)
    assert paddle.synced_version == paddle.version


def test_a_fresh_paddle_is_left_to_the_process_that_changes_it(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction, tell_redis=False)

    sweep_paddles(stage.resources)

    assert stage.refused(auction, bidder, 5_000) == "no_paddle"


def begin_return(stage: Stage, auction: UUID, bidder: UUID) -> None:
    with stage.resources.database.transaction() as session:
        paddles.begin_return(session, bidder, auction)
    age_paddles(stage, auction)


def test_a_return_that_a_crash_has_left_is_finished(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    begin_return(stage, auction, bidder)

    sweep_paddles(stage.resources)

    assert stage.paddle(auction, bidder).status == PaddleStatus.RETURNED
    assert stage.balance(AccountKind.AVAILABLE, bidder) == LIMIT
    assert stage.refused(auction, bidder, 5_000) == "no_paddle"


def test_one_paddle_that_cannot_be_finished_does_not_stop_the_sweep(stage: Stage) -> None:
    auction = stage.auction()
    broken, fine = stage.bidder(auction), stage.bidder(auction)
    begin_return(stage, auction, broken)
    begin_return(stage, auction, fine)
    with stage.resources.database.transaction() as session:
        # What no use-case would do: no hold is behind the paddle, and it is the first that the sweep meets.
        top_up = select(Transfer.id).where(Transfer.kind == TransferKind.TOP_UP).limit(1).scalar_subquery()
        session.execute(
            update(Paddle)
            .where(Paddle.auction_id == auction, Paddle.bidder_id == broken)
            .values(hold_id=top_up, updated_at=func.now() - timedelta(hours=1))
        )

    sweep_paddles(stage.resources)

    assert stage.paddle(auction, broken).status == PaddleStatus.RETURNING
    assert stage.paddle(auction, fine).status == PaddleStatus.RETURNED


def test_the_paddle_of_the_leader_is_not_given_back(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.bid(auction, bidder, 5_000)
    begin_return(stage, auction, bidder)

    sweep_paddles(stage.resources)

    assert stage.paddle(auction, bidder).status == PaddleStatus.ACTIVE
    assert stage.balance(AccountKind.HELD, bidder) == LIMIT
    stage.bid(auction, bidder, 6_000)


def test_a_paddle_is_not_given_back_while_its_auction_may_be_on_its_way_into_redis(stage: Stage) -> None:
    """Loaded with the paddle still in it, an auction would take bids without money behind them."""
    auction = stage.auction()
    bidder = stage.bidder(auction)
    stage.resources.hot.client.flushdb()
    with stage.resources.database.transaction() as session:
        on_its_way = hot_state.hot_state(session, auction)
    assert on_its_way is not None
    begin_return(stage, auction, bidder)

    sweep_paddles(stage.resources)
    assert stage.paddle(auction, bidder).status == PaddleStatus.RETURNING
    stage.load(on_its_way)
    sweep_paddles(stage.resources)

    assert stage.paddle(auction, bidder).status == PaddleStatus.RETURNED
    assert stage.refused(auction, bidder, 5_000) == "no_paddle"


def test_a_version_that_redis_has_overtaken_is_left_alone(stage: Stage) -> None:
    auction = stage.auction()
    bidder = stage.bidder(auction, tell_redis=False)
    with stage.resources.database.transaction() as session:
        newer = paddles.hot(paddles.get(session, bidder, auction))
    newer = type(newer)(bidder, newer.number, 7_000, newer.version + 1)
    stage.resources.hot.run(put_paddle(auction, newer))
    age_paddles(stage, auction)

    sweep_paddles(stage.resources)

    assert stage.refused(auction, bidder, 8_000) == "over_limit"
