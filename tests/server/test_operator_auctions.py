"""What operators do to auctions by `./neighborbid admin`."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.bidding import neighbourhood
from market.errors import Refusal
from market.listings import auction_views
from market.money import wallet
from market.times import from_ms, to_ms
from server import operator_actions
from server.errors import Failure
from store.database import SyncDatabase
from store.ids import new_id
from store.models import AccountKind, Auction, AuctionStatus, Order
from store.redis.auctions import read_auction
from store.redis.clients import SyncHot
from store.redis.keys import keys_of
from store.redis.records import SealRecord, decode_record
from tasks.app import Resources, configure
from tasks.bidding.settlement import settle_due
from tasks.bidding.write_back import drain
from tests.support.factories import make_neighbour, make_neighbourhood_auction, make_published_auction
from tests.support.operator import WHY, Night
from tests.support.settings import at
from tests.support.stage import LIMIT, Stage

pytestmark = pytest.mark.usefixtures("some_regions")

DAY_MS = 24 * 3_600_000
AWAY = "redis://127.0.0.1:1"


@pytest.fixture
def redis_url(redis_urls: tuple[str, str]) -> str:
    """Write-back reads every log, and those of other tests are not to be read."""
    return redis_urls[1]


@pytest.fixture
def stage(night: Night, redis_url: str) -> Iterator[Stage]:
    hot = SyncHot.connect(redis_url)
    hot.client.flushdb()
    unused: dict[str, Any] = {"media": None, "post": None, "web_push": None}
    configure(database_url=night.settings.postgres.url, redis_url=redis_url, broker_url=redis_url, **unused)
    database = SyncDatabase(night.settings.postgres.url, hot)
    yield Stage(Resources(database=database, hot=hot, **unused))
    database.dispose()
    hot.client.close()


def seal_of(stage: Stage, auction: UUID) -> SealRecord | None:
    """How the auction has ended, as its viewers know."""
    state = stage.resources.hot.run(read_auction(auction, 0)).state
    if state is None or "seal" not in state:
        return None
    seal = decode_record(state["seal"])
    assert isinstance(seal, SealRecord)
    return seal


def ends_at(stage: Stage, auction: UUID) -> int:
    """When the auction ends, as its viewers know."""
    state = stage.resources.hot.run(read_auction(auction, 0)).state
    assert state is not None
    return int(state["ends_at"])


def test_an_auction_is_hidden_and_shown_again(night: Night) -> None:
    with night.database.transaction() as session:
        auction_id = make_published_auction(session).id

    def is_visible(session: Session) -> bool:
        try:
            auction_views.require_visible(session, session.get_one(Auction, auction_id), night.user_id)
        except Refusal:
            return False
        return True

    for _ in range(2):
        assert str(auction_id) in night.said("hide", str(auction_id), WHY)
    with night.database.transaction() as session:
        assert not is_visible(session)
    assert str(auction_id) in night.said("unhide", str(auction_id), WHY)
    with night.database.transaction() as session:
        assert is_visible(session)
    assert night.noted(auction_id) == [("show", "olga", WHY), ("hide", "olga", WHY)]


def test_a_live_auction_with_bids_is_cancelled_and_leaves_no_hold(night: Night, stage: Stage) -> None:
    auction = stage.auction()
    bidders = [stage.bidder(auction) for _ in range(3)]
    stage.bid(auction, bidders[0], 5_000)
    stage.bid(auction, bidders[1], 9_000)

    for _ in range(2):
        assert "cancelled" in night.said("cancel", str(auction), WHY)

    seal = seal_of(stage, auction)
    assert seal is not None
    assert (seal.cancelled, seal.leader) == (True, "")
    assert stage.refused(auction, bidders[2], 20_000) == "cancelled"
    drain(stage.resources)
    settle_due(stage.resources)
    stored = stage.stored(auction)
    assert (stored.status, stored.cancel_reason) == (AuctionStatus.CANCELLED, WHY)
    for bidder in bidders:
        assert stage.balance(AccountKind.AVAILABLE, bidder) == LIMIT
        assert stage.balance(AccountKind.HELD, bidder) == 0
    with night.database.transaction() as session:
        assert session.scalar(select(func.count()).where(Order.auction_id == auction)) == 0
    stage.check_ledger()
    assert night.noted(auction) == [("cancel", "olga", WHY)] * 2


def test_a_neighbourhood_auction_with_bids_is_cancelled_at_once(night: Night, stage: Stage) -> None:
    with night.database.transaction() as session:
        auction = make_neighbourhood_auction(session).id
        bidder, _ = make_neighbour(session, 50_000)
        neighbourhood.place(session, bidder, auction, "one", 5_000)

    night.said("cancel", str(auction), WHY)

    with night.database.transaction() as session:
        assert session.get_one(Auction, auction).status == AuctionStatus.CANCELLED
        assert wallet.view(session, bidder).available == 50_000
    seal = seal_of(stage, auction)
    assert seal is not None
    assert seal.cancelled
    assert night.noted(auction) == [("cancel", "olga", WHY)]


def test_while_redis_is_away_a_live_auction_goes_on_and_a_local_one_is_cancelled(
    night: Night, stage: Stage
) -> None:
    live = stage.auction()
    with night.database.transaction() as session:
        local = make_neighbourhood_auction(session).id
    away = at(night.settings, redis=AWAY)
    with pytest.raises(Failure, match="Redis is away, so the auction may or may not be cancelled"):
        operator_actions.cancel(away, live, WHY)
    assert seal_of(stage, live) is None
    with pytest.raises(Failure, match="It is done, but Redis is away"):
        operator_actions.cancel(away, local, WHY)
    assert stage.stored(local).cancelled


def test_what_cannot_be_cancelled_is_said(night: Night, stage: Stage) -> None:
    assert "There is no such auction." in night.failed("cancel", str(new_id()), WHY)
    assert "There is no such auction." in night.failed("hide", str(new_id()), WHY)
    sold = stage.auction()
    stage.bid(sold, stage.bidder(sold), 5_000)
    stage.seal(sold)
    assert "The auction closed first. Run this again in a second" in night.failed("cancel", str(sold), WHY)
    drain(stage.resources)
    settle_due(stage.resources)
    assert "The auction is already settled." in night.failed("cancel", str(sold), WHY)
    unloaded = stage.auction()
    stage.resources.hot.client.delete(keys_of(unloaded).auction)
    assert "cannot be reached now. Try again." in night.failed("cancel", str(unloaded), WHY)
    assert "The reason must have" in night.failed("cancel", str(unloaded), " ")
    with pytest.raises(SystemExit):
        night.failed("cancel", "no-id", WHY)


@pytest.fixture
def ran(night: Night, stage: Stage) -> Iterator[Callable[[int], tuple[UUID, UUID]]]:
    """Makes a live and a neighbourhood auction that have run from some time (ms) on, until the test is over."""
    made: list[UUID] = []

    def change(at: datetime) -> None:
        with night.database.transaction() as session:
            times = {"published_at": at, "opens_at": at}
            session.execute(update(Auction).where(Auction.id.in_(made)).values(**times))

    def make(at: int) -> tuple[UUID, UUID]:
        live = stage.auction()
        with night.database.transaction() as session:
            local = make_neighbourhood_auction(session).id
        made.extend([live, local])
        change(from_ms(at))
        return live, local

    yield make
    # The outages of other tests do not touch them.
    change(datetime.now(UTC))


def test_what_an_outage_touched_ends_later_once_for_each_action(
    night: Night, stage: Stage, ran: Callable[[int], tuple[UUID, UUID]]
) -> None:
    # Nothing of other tests ran so long ago.
    at = stage.resources.hot.now_ms() - 30 * DAY_MS
    live, local = ran(at)
    unloaded, _ = ran(at)
    planned = to_ms(stage.stored(live).ends_at), to_ms(stage.stored(local).ends_at)
    state = stage.resources.hot.client.dump(keys_of(unloaded).auction)
    assert state is not None
    stage.resources.hot.client.delete(keys_of(unloaded).auction)
    began, ended = (from_ms(at + ms).isoformat() for ms in (0, 60_000))
    order = new_id()

    failed = night.failed("extend", began, ended, "5", WHY, "--action", str(order))

    assert str(unloaded) in failed
    assert f"Run this again with --action {order}, which extends none of them twice." in failed
    stage.resources.hot.client.restore(keys_of(unloaded).auction, 0, state)
    for _ in range(2):
        assert str(order) in night.said("extend", began, ended, "5", WHY, "--action", str(order))
    assert (ends_at(stage, live), ends_at(stage, local)) == tuple(end + 5 * 60_000 for end in planned)
    assert night.noted(order) == [("extend", "olga", WHY)] * 3
    # What says no zone is UTC, and another action extends anew.
    night.said("extend", began.removesuffix("+00:00"), ended.removesuffix("+00:00"), "1", WHY)
    assert ends_at(stage, live) == planned[0] + 6 * 60_000


def test_an_impossible_outage_extends_nothing(night: Night) -> None:
    now = datetime.now(UTC)
    later, earlier = now.isoformat(), now.replace(year=now.year - 1).isoformat()
    assert "An outage must end after it began" in night.failed("extend", later, earlier, "5", WHY)
    assert "An extension must be 1 to" in night.failed("extend", earlier, earlier, "0", WHY)
    with pytest.raises(SystemExit):
        night.failed("extend", "yesterday", later, "5", WHY)
    assert "'yesterday' is not a time; write it like 2026-05-31T23:05" in night.capsys.readouterr().err
