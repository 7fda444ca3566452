"""Each script on a real Redis: what it does without its keys, with leftovers, twice, and under a crowd."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from market import rules
from store.ids import SHARDS, new_id, shard_of
from store.redis import auctions, clients, keys, scripts, streams
from store.redis.records import (
    BidRecord,
    NotYet,
    Rejection,
    SealRecord,
    decode_record,
)
from tests.support.scenarios import ANN, BEN, SELLER
from tests.support.side_by_side import hot_auction

AUCTION = new_id()
KEYS = keys.keys_of(AUCTION)
START = ["0-0"] * SHARDS
HOUR_MS = 3_600_000


@pytest.fixture
def redis(sync_hot: clients.SyncHot) -> Any:
    return sync_hot.client


def running(now: int, **changes: Any) -> rules.BiddingState:
    """An auction that opened an hour ago and ends in one."""
    state = rules.BiddingState(
        epoch=3,
        seller=SELLER,
        opens_at=now - HOUR_MS,
        ends_at=now + HOUR_MS,
        start_price=1_000,
        steps=(rules.IncrementStep(0, 100),),
        soft_close=rules.SoftCloseRule(0, 0, now + HOUR_MS),
        paddles={ANN: rules.BidderPaddle(5, 20_000), BEN: rules.BidderPaddle(7, 15_000)},
    )
    return replace(state, **changes)


def load(sync_hot: clients.SyncHot, log_position: str = "0-0", **changes: Any) -> bool:
    return sync_hot.run(
        auctions.load_auction(hot_auction(AUCTION, running(sync_hot.now_ms(), **changes), log_position))
    )


def bid(sync_hot: clients.SyncHot, bidder: str, maximum: int, ref: str = "one") -> BidRecord | Rejection:
    return sync_hot.run(auctions.place_bid(AUCTION, UUID(bidder), ref, maximum))


def put(sync_hot: clients.SyncHot, number: int, limit: int, version: int) -> str:
    return sync_hot.run(auctions.put_paddle(AUCTION, auctions.HotPaddle(UUID(ANN), number, limit, version)))


# Missing keys


@pytest.mark.parametrize(("ready", "code"), [(False, "unavailable"), (True, "unknown_auction")])
def test_without_hot_state_nothing_is_decided_and_nothing_written(
    sync_hot: clients.SyncHot, redis: Any, ready: bool, code: str
) -> None:
    if ready:
        redis.set(KEYS.ready, 1)
    for answer in (bid(sync_hot, ANN, 2_000), sync_hot.run(auctions.seal_auction(AUCTION))):
        assert isinstance(answer, Rejection)
        assert (answer.code, answer.price, answer.next_minimum, answer.ends_at) == (code, 0, 0, 0)
        assert abs(answer.at - sync_hot.now_ms()) < HOUR_MS
    assert put(sync_hot, 5, 20_000, 1) == "unavailable"
    assert redis.dbsize() == int(ready)


@pytest.mark.parametrize(
    ("markers", "code"),
    [
        ([], "unavailable"),
        ([KEYS.ready], "unavailable"),
        ([KEYS.mirrored], "unavailable"),
        ([KEYS.ready, KEYS.mirrored], "unknown_auction"),
    ],
)
def test_only_where_all_of_both_kinds_is_there_an_auction_is_unknown(
    sync_hot: clients.SyncHot, redis: Any, markers: list[str], code: str
) -> None:
    for marker in markers:
        redis.set(marker, 1)
    reading = sync_hot.run(auctions.read_auction(AUCTION, 0))
    assert (reading.state, reading.code, reading.records) == (None, code, [])


def test_without_paddles_there_is_no_paddle(sync_hot: clients.SyncHot, redis: Any) -> None:
    load(sync_hot)
    redis.delete(KEYS.paddles)
    answer = bid(sync_hot, ANN, 2_000)
    assert isinstance(answer, Rejection)
    assert answer.code == "no_paddle"


def test_without_history_and_log_a_bid_starts_them_again(sync_hot: clients.SyncHot, redis: Any) -> None:
    load(sync_hot)
    bid(sync_hot, ANN, 2_000)
    redis.delete(KEYS.history, KEYS.log)
    assert isinstance(bid(sync_hot, BEN, 3_000), BidRecord)
    assert (redis.llen(KEYS.history), redis.xlen(KEYS.log)) == (1, 1)


def test_without_its_answers_an_accepted_bid_is_refused_and_never_counted_twice(
    sync_hot: clients.SyncHot, redis: Any
) -> None:
    load(sync_hot)
    assert isinstance(bid(sync_hot, ANN, 2_000, "a"), BidRecord)
    assert isinstance(bid(sync_hot, BEN, 3_000, "b"), BidRecord)
    redis.delete(*(auctions.place_bid(AUCTION, UUID(bidder), "any", 1).keys[2] for bidder in (ANN, BEN)))
    repeated = [bid(sync_hot, ANN, 2_000, "a"), bid(sync_hot, BEN, 3_000, "b")]
    assert [answer.code for answer in repeated if isinstance(answer, Rejection)] == [
        "below_minimum",
        "not_above_own_maximum",
    ]


# Loading


def test_load_never_replaces_what_is_there(sync_hot: clients.SyncHot, redis: Any) -> None:
    assert load(sync_hot) is True
    bid(sync_hot, ANN, 2_000)
    before = redis.hgetall(KEYS.auction), redis.hgetall(KEYS.paddles), redis.lrange(KEYS.history, 0, -1)
    assert load(sync_hot, epoch=4, paddles={}) is False
    after = redis.hgetall(KEYS.auction), redis.hgetall(KEYS.paddles), redis.lrange(KEYS.history, 0, -1)
    assert after == before


def test_load_leaves_nothing_of_a_lost_auction_but_its_log(sync_hot: clients.SyncHot, redis: Any) -> None:
    load(sync_hot)
    bid(sync_hot, ANN, 2_000)
    redis.delete(KEYS.auction)
    assert load(sync_hot, epoch=4, paddles={}) is True
    assert (redis.exists(KEYS.paddles), redis.exists(KEYS.history), redis.xlen(KEYS.log)) == (0, 0, 1)


def test_a_lost_log_starts_behind_the_position_even_if_the_clock_stepped_back(
    sync_hot: clients.SyncHot,
) -> None:
    position = f"{sync_hot.now_ms() + HOUR_MS}-7"
    load(sync_hot, log_position=position)
    bid(sync_hot, ANN, 2_000)
    positions = [position] * SHARDS
    [(entry_id, record)] = sync_hot.run(streams.read_logs(positions, 10))[shard_of(AUCTION)]
    assert entry_id == position[:-1] + "8"
    assert decode_record(record).seq == 1


def test_a_log_that_is_there_goes_on(sync_hot: clients.SyncHot, redis: Any) -> None:
    redis.xadd(KEYS.log, {"r": "other"}, id="5-0")
    assert load(sync_hot, log_position="5-0") is True
    assert redis.xlen(KEYS.log) == 1


# Sealing


def test_a_seal_is_the_last_record_and_lets_the_state_expire(sync_hot: clients.SyncHot, redis: Any) -> None:
    now = sync_hot.now_ms()
    load(sync_hot, ends_at=now, price=1_500, lead=rules.Lead(ANN, 5, 2_000), seq=4, bids=4)
    assert sync_hot.run(auctions.due(now)) == [(AUCTION, now)]
    sealed = sync_hot.run(auctions.seal_auction(AUCTION))
    assert isinstance(sealed, SealRecord)
    assert (sealed.seq, sealed.price, sealed.leader, sealed.leader_paddle) == (5, 1_500, ANN, 5)
    assert sync_hot.run(auctions.seal_auction(AUCTION)) == sealed
    [(_, record)] = sync_hot.run(streams.read_logs(START, 10))[shard_of(AUCTION)]
    assert decode_record(record) == sealed
    assert sync_hot.run(auctions.due(now)) == []
    for key in (KEYS.auction, KEYS.paddles, KEYS.history):
        assert auctions.KEEP_SEALED_MS - 60_000 < redis.pttl(key) <= auctions.KEEP_SEALED_MS


def test_a_seal_before_the_end_is_refused_and_changes_nothing(sync_hot: clients.SyncHot, redis: Any) -> None:
    load(sync_hot)
    before = redis.hgetall(KEYS.auction)
    answer = sync_hot.run(auctions.seal_auction(AUCTION))
    assert isinstance(answer, NotYet)
    assert answer.at < answer.ends_at
    assert redis.hgetall(KEYS.auction) == before
    assert (redis.pttl(KEYS.auction), redis.exists(KEYS.log, KEYS.history)) == (-1, 0)


# Paddles


def test_an_older_version_of_a_paddle_never_overwrites_a_newer_one(
    sync_hot: clients.SyncHot, redis: Any
) -> None:
    load(sync_hot)
    assert put(sync_hot, 5, 30_000, 12) == "written"
    assert put(sync_hot, 5, 10_000, 9) == "stale"
    assert put(sync_hot, 5, 30_000, 12) == "written"
    assert redis.hget(KEYS.paddles, ANN) == b"5:30000:12"


def test_a_paddle_is_not_lowered_below_what_its_owner_leads_with(
    sync_hot: clients.SyncHot, redis: Any
) -> None:
    load(sync_hot)
    bid(sync_hot, ANN, 2_000)
    assert put(sync_hot, 5, 1_999, 2) == "leading"
    assert redis.hget(KEYS.paddles, ANN) == b"5:20000:1"
    assert put(sync_hot, 5, 2_000, 2) == "written"


# Buying at once


def test_of_many_who_buy_at_once_one_does_and_nothing_comes_after_the_seal(
    sync_hot: clients.SyncHot, redis_url: str
) -> None:
    rich = {bidder: rules.BidderPaddle(number, 10**9) for number, bidder in enumerate(BIDDERS[:40], 1)}
    load(sync_hot, paddles=rich, buy_now_price=50_000, reserve=30_000)

    def offers(pool: int) -> list[BidRecord | Rejection]:
        own = clients.SyncHot.connect(redis_url)
        answers = []
        for number, bidder in enumerate(BIDDERS[pool * 10 : pool * 10 + 10]):
            answers.append(own.run(auctions.place_bid(AUCTION, UUID(bidder), "bid", 1_000 + 600 * number)))
            answers.append(own.run(auctions.buy_now(AUCTION, UUID(bidder), "buy")))
        own.client.close()
        return answers

    with ThreadPoolExecutor(4) as threads:
        answers = [answer for found in threads.map(offers, range(4)) for answer in found]

    accepted = [answer for answer in answers if isinstance(answer, BidRecord)]
    [bought] = [answer for answer in accepted if answer.bought]
    records = [
        decode_record(raw) for _, raw in sync_hot.run(streams.read_logs(START, 1_000))[shard_of(AUCTION)]
    ]
    assert records[:-1] == sorted(accepted, key=lambda answer: answer.seq)
    assert records[-2] == bought
    seal = records[-1]
    assert isinstance(seal, SealRecord)
    assert (seal.seq, seal.price, seal.leader) == (bought.seq + 1, 50_000, str(bought.bidder))
    assert sync_hot.run(auctions.seal_auction(AUCTION)) == seal
    assert sync_hot.run(auctions.due(sync_hot.now_ms() + 10 * HOUR_MS)) == []


# Calls


def test_a_script_that_redis_does_not_know_is_sent_and_runs_once(
    sync_hot: clients.SyncHot, redis: Any
) -> None:
    load(sync_hot)
    unknown = scripts.load_scripts(f"-- {uuid4()}\n")
    answer = sync_hot.run(auctions.place_bid(AUCTION, UUID(ANN), "one", 2_000, scripts=unknown))
    assert isinstance(answer, BidRecord)
    assert redis.xlen(KEYS.log) == 1


@pytest.mark.parametrize("ref", ["", 'quo"te', "x" * 65, "new\nline", "slash\\", "é"])
def test_a_ref_that_could_break_the_record_is_refused(ref: str) -> None:
    with pytest.raises(ValueError, match="ref"):
        auctions.place_bid(AUCTION, UUID(ANN), ref, 2_000)


def test_a_log_is_read_from_a_position_and_trimmed_up_to_it(sync_hot: clients.SyncHot) -> None:
    load(sync_hot)
    for maximum in (2_000, 3_000, 4_000):
        bid(sync_hot, ANN, maximum, f"up_to_{maximum}")
    shard = shard_of(AUCTION)
    entries = sync_hot.run(streams.read_logs(START, 10))[shard]
    assert [decode_record(record).seq for _, record in entries] == [1, 2, 3]
    positions = [*START]
    positions[shard] = entries[1][0]
    assert sync_hot.run(streams.read_logs(positions, 10))[shard] == entries[2:]
    assert sync_hot.run(streams.read_logs(START, 1))[shard] == entries[:1]
    sync_hot.run(streams.trim_logs([(shard, entries[1][0])]))
    assert sync_hot.run(streams.read_logs(START, 10))[shard] == entries[2:]


# A crowd

BIDDERS = [str(UUID(int=1_000 + number)) for number in range(200)]
CONNECTION_POOLS = 4


@pytest.mark.parametrize("window_ms", [0, 100])
async def test_200_bidders_at_the_closing_moment_leave_one_winner_and_nothing_after_the_seal(
    sync_hot: clients.SyncHot, redis_url: str, window_ms: int
) -> None:
    state, acks, seals = await crowded_auction(redis_url, window_ms)

    records = [
        decode_record(record)
        for _, record in sync_hot.run(streams.read_logs(START, 1_000_000))[shard_of(AUCTION)]
    ]
    bids = [record for record in records if isinstance(record, BidRecord)]
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert len(bids) >= CONNECTION_POOLS
    assert records[:-1] == bids
    assert set(seals) == {records[-1]}
    assert sorted(acks, key=lambda ack: ack.seq) == bids
    assert all(record.at < record.ends_at for record in bids)

    best = max(bids, key=lambda record: (record.maximum, -record.seq))
    assert seals[0].leader == str(best.bidder)
    for record in bids:
        decision = rules.decide(
            state, rules.BidOffer(str(record.bidder), record.ref, record.maximum), record.at
        )
        assert isinstance(decision, rules.AcceptedOffer)
        assert msgspec.convert({"type": "bid", "auction": AUCTION, **asdict(decision)}, BidRecord) == record
        state = rules.apply(state, decision)
    assert seals[0].price == state.price


async def crowded_auction(
    redis_url: str, window_ms: int
) -> tuple[rules.BiddingState, Sequence[BidRecord], Sequence[SealRecord]]:
    """Everybody bids as fast as possible, often the same amount, while some try to seal, until it is closed.

    Returns the auction before, what was acknowledged and what the sealers were answered.
    """
    acks: list[BidRecord] = []
    seals: list[SealRecord] = []

    async def bidder(own_hot: clients.Hot, number: int) -> None:
        answer: BidRecord | Rejection | None = None
        turn = 0
        while not isinstance(answer, Rejection) or answer.code != "closed":
            maximum = answer.next_minimum + 500 * (number % 7) if answer else 1_000
            answer = await own_hot.run(
                auctions.place_bid(AUCTION, UUID(BIDDERS[number]), f"r{turn}", maximum)
            )
            turn += 1
            if isinstance(answer, BidRecord):
                acks.append(answer)

    async def sealer(own_hot: clients.Hot) -> None:
        while not isinstance(answer := await own_hot.run(auctions.seal_auction(AUCTION)), SealRecord):
            assert isinstance(answer, NotYet)
        seals.append(answer)

    async with AsyncExitStack() as stack:
        pools = [clients.Hot.connect(redis_url) for _ in range(CONNECTION_POOLS)]
        for pool in pools:
            stack.push_async_callback(pool.close)
        each_pool = [pools[number % CONNECTION_POOLS] for number in range(len(BIDDERS))]
        await asyncio.gather(*(pool.ping() for pool in each_pool))

        now = await pools[0].now_ms()
        state = running(
            now,
            ends_at=now + 1_000,
            soft_close=rules.SoftCloseRule(window_ms, 100, now + 1_200),
            paddles={bidder: rules.BidderPaddle(number, 10**9) for number, bidder in enumerate(BIDDERS, 1)},
        )
        await pools[0].run(auctions.load_auction(hot_auction(AUCTION, state)))
        await asyncio.gather(
            *(bidder(pool, number) for number, pool in enumerate(each_pool)),
            *(sealer(pool) for pool in pools),
        )
    return state, acks, seals
