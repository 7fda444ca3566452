"""Ending neighbourhood auctions on time, and bringing their mirrors to Redis."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from market.bidding import neighbourhood
from market.money import ledger
from store.ids import new_id, shard_of
from store.models import Auction, AuctionStatus, Order
from store.redis import mirrors
from store.redis.auctions import Reading, read_auction
from store.redis.clients import SyncHot
from store.redis.keys import keys_of, shard_tag
from store.redis.records import decode_record
from tasks.app import Resources
from tasks.bidding import neighbourhood as neighbourhood_tasks
from tasks.bidding.neighbourhood import (
    MIRRORING,
    check_mirrors,
    end_due,
    mirror_missing,
)
from tests.support.effects import die_after_commit, mirrored
from tests.support.factories import make_neighbour, make_neighbourhood_auction
from tests.support.ports import CLOSED_PORT

pytestmark = pytest.mark.usefixtures("some_regions")


def make(resources: Resources) -> UUID:
    """An auction with one bid, of which Redis knows nothing yet."""
    with resources.database.transaction() as session:
        auction_id = make_neighbourhood_auction(session).id
        ann, _ = make_neighbour(session, 10_000)
        neighbourhood.place(session, ann, auction_id, "one", 3_000)
        die_after_commit(session)
    return auction_id


def let_end(resources: Resources, auction_id: UUID) -> None:
    with resources.database.transaction() as session:
        session.execute(
            update(Auction)
            .where(Auction.id == auction_id)
            .values(opens_at=func.now() - timedelta(hours=2), ends_at=func.now())
        )


def seen(resources: Resources, auction_id: UUID) -> tuple[str, str, str] | None:
    """Epoch, number and price as viewers see them."""
    state = read(resources, auction_id).state
    return None if state is None else (state["epoch"], state["seq"], state["price"])


def read(resources: Resources, auction_id: UUID, after: int = 0) -> Reading:
    return resources.hot.run(read_auction(auction_id, after))


def test_a_due_auction_is_settled_and_its_viewers_told(resources: Resources) -> None:
    auction_id = make(resources)
    mirror_missing(resources)
    let_end(resources, auction_id)

    for _ in range(2):
        end_due(resources)
        with resources.database.transaction() as session:
            row = session.scalars(select(Auction).where(Auction.id == auction_id)).one()
            assert (row.status, row.hammer_price) == (AuctionStatus.SOLD, 1_000)
            assert len(session.scalars(select(Order).where(Order.auction_id == auction_id)).all()) == 1
            assert ledger.trial_balance(session) == 0
    reading = read(resources, auction_id, 1)
    assert [decode_record(text).seq for text in reading.records] == [2]
    assert reading.state is not None
    assert "seal" in reading.state


def test_one_that_is_not_due_goes_on(resources: Resources) -> None:
    auction_id = make(resources)
    end_due(resources)
    with resources.database.transaction() as session:
        status = session.scalar(select(Auction.status).where(Auction.id == auction_id))
    assert status == AuctionStatus.PUBLISHED


def test_what_a_process_could_not_tell_redis_the_sweep_tells(resources: Resources) -> None:
    auction_id = make(resources)
    assert read(resources, auction_id).state is None
    mirror_missing(resources)
    state = read(resources, auction_id).state
    assert state is not None
    assert (state["price"], state["seq"]) == ("1000", "1")
    with resources.database.transaction() as session:
        assert auction_id not in neighbourhood.mirror_missing(session)


def test_when_redis_has_lost_everything_running_auctions_come_back(resources: Resources) -> None:
    auction_id = make(resources)
    mirror_missing(resources)
    resources.hot.client.flushdb()
    mirror_missing(resources)
    assert read(resources, auction_id).state is not None


def test_until_lost_mirrors_are_back_nobody_says_that_there_is_no_auction(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction_id, nowhere = make(resources), new_id()
    mirror_missing(resources)
    resources.hot.client.flushdb()
    for shard in (shard_of(auction_id), shard_of(nowhere)):
        resources.hot.client.set(f"{shard_tag(shard)}:ready", 1)

    with monkeypatch.context() as patch:
        patch.setattr(neighbourhood_tasks, "RUN_S", 0)
        mirror_missing(resources)
    assert [read(resources, name).code for name in (auction_id, nowhere)] == ["unavailable"] * 2
    mirror_missing(resources)
    assert seen(resources, auction_id) == ("1", "1", "1000")
    assert read(resources, nowhere).code == "unknown_auction"


def test_a_mirror_that_redis_has_lost_alone_comes_back(resources: Resources) -> None:
    auction_id = make(resources)
    mirror_missing(resources)
    resources.hot.client.delete(keys_of(auction_id).auction)
    mirror_missing(resources)
    assert seen(resources, auction_id) is None
    check_mirrors(resources)
    mirror_missing(resources)
    assert seen(resources, auction_id) == ("1", "1", "1000")
    assert [decode_record(text).seq for text in read(resources, auction_id).records] == [1]


def test_a_mirror_of_what_a_restored_postgresql_never_had_gets_a_fresh_epoch(resources: Resources) -> None:
    auction_id = make(resources)
    with resources.database.transaction() as session:
        neighbourhood.mirror(session, [session.get_one(Auction, auction_id)])
        [later] = mirrored(session)
        die_after_commit(session)
    ahead = replace(later.auction, seq=7, price=9_000)
    resources.hot.run(mirrors.mirror(ahead, [], None))
    check_mirrors(resources)
    mirror_missing(resources)
    assert seen(resources, auction_id) == ("2", "1", "1000")


def test_only_one_sweep_runs_at_a_time(resources: Resources) -> None:
    auction_id = make(resources)
    resources.hot.client.set(MIRRORING, 1)
    mirror_missing(resources)
    assert seen(resources, auction_id) is None
    resources.hot.client.delete(MIRRORING)
    mirror_missing(resources)
    assert seen(resources, auction_id) is not None
    assert not resources.hot.client.exists(MIRRORING)


def test_auctions_that_cannot_be_ended_keep_no_other_from_it(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction_ids = [make(resources) for _ in range(5)]
    for auction_id in auction_ids:
        let_end(resources, auction_id)
    broken, close = set(auction_ids[:3]), neighbourhood.close

    def close_or_fail(session: Session, auction_id: UUID) -> None:
        close(session, auction_id)
        if auction_id in broken:
            raise RuntimeError("broken")

    monkeypatch.setattr(neighbourhood, "close", close_or_fail)
    with capture_logs() as logs:
        end_due(resources)
    assert [UUID(event["id"]) for event in logs if event["event"] == "closing_failed"] == auction_ids[:3]
    with resources.database.transaction() as session:
        states = [session.get_one(Auction, auction_id).status for auction_id in auction_ids]
    assert states == ["published"] * 3 + ["sold"] * 2
    monkeypatch.undo()
    end_due(resources)


def test_an_alarm_at_the_hammer_is_heard(resources: Resources) -> None:
    auction_id = make(resources)
    with resources.database.transaction() as session:
        # One more than is stored: a fault that no door can make.
        session.execute(update(Auction).where(Auction.id == auction_id).values(bids=2, seq=2))
    let_end(resources, auction_id)
    with capture_logs() as logs:
        end_due(resources)
    [alarm] = [event for event in logs if event["event"] == "auction_alarm"]
    assert (alarm["reason"], alarm["auction"]) == ("bids_missing", str(auction_id))
    assert not any(event["event"] == "auction_settled" for event in logs)


def test_buyer_and_seller_are_pushed_their_order(resources: Resources) -> None:
    auction_id = make(resources)
    with resources.database.transaction() as session:
        auction = session.get_one(Auction, auction_id)
        parties = [auction.leader_id, auction.seller_id]
    heard = resources.hot.client.pubsub()
    wanted = {f"user:{user}".encode() for user in parties}
    heard.ssubscribe(*wanted)
    let_end(resources, auction_id)
    end_due(resources)
    while wanted:
        message = heard.get_sharded_message(timeout=10)
        assert message is not None, wanted
        if message["type"] == "smessage":
            assert b'"action":"sell","state":"in_escrow"' in message["data"]
            wanted.discard(message["channel"])
    heard.close()


def test_without_redis_auctions_end_all_the_same(resources: Resources) -> None:
    auction_id = make(resources)
    let_end(resources, auction_id)
    end_due(replace(resources, hot=SyncHot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")))
    with resources.database.transaction() as session:
        assert session.get_one(Auction, auction_id).status == AuctionStatus.SOLD


def test_a_sweep_brings_more_than_it_handles_at_a_time(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbourhood, "BATCH", 2)
    auction_ids = [make(resources) for _ in range(5)]
    mirror_missing(resources)
    assert all(read(resources, auction_id).state is not None for auction_id in auction_ids)
