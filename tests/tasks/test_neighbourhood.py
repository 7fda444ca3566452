"""Ending neighbourhood auctions on time, and bringing their copies to Redis."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from market import bidding, ledger
from store.hot import Reading, read_auction
from store.models import Auction, AuctionStatus, Order
from store.records import decode_record
from tasks.app import Resources
from tasks.neighbourhood import end_due, mirror_missing
from tests.database import make_neighbour, make_neighbourhood_auction

pytestmark = pytest.mark.usefixtures("some_regions")


def make(resources: Resources) -> UUID:
    """An auction with one bid, of which Redis knows nothing yet."""
    with resources.database.transaction() as session:
        auction_id = make_neighbourhood_auction(session).id
        ann, _ = make_neighbour(session, 10_000)
        bidding.place(session, ann, auction_id, "one", 3_000)
    return auction_id


def let_end(resources: Resources, auction_id: UUID) -> None:
    with resources.database.transaction() as session:
        session.execute(
            update(Auction)
            .where(Auction.id == auction_id)
            .values(opens_at=func.now() - timedelta(hours=2), ends_at=func.now())
        )


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
            assert (row.status, row.hammer_price, row.mirrored_seq) == (AuctionStatus.SOLD, 1_000, 2)
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
        assert all(mirror.auction.auction_id != auction_id for mirror in bidding.to_mirror(session))


def test_when_redis_has_lost_everything_running_auctions_come_back(resources: Resources) -> None:
    auction_id = make(resources)
    mirror_missing(resources)
    resources.hot.client.flushdb()
    mirror_missing(resources)
    assert read(resources, auction_id).state is not None


def test_a_sweep_brings_more_than_it_handles_at_a_time(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bidding, "BATCH", 2)
    auction_ids = [make(resources) for _ in range(5)]
    mirror_missing(resources)
    assert all(read(resources, auction_id).state is not None for auction_id in auction_ids)
