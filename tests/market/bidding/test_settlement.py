"""Settlement: who pays, who gets the money back, and that it happens once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.orm import Session

from market.bidding import paddles, settlement
from market.bidding.settlement import Settled
from market.money import ledger, wallet
from market.platform import alarms
from market.platform.alarms import Alarm, AlarmReason
from market.times import from_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import AccountKind, Auction, AuctionStatus, Bid, LedgerAccount, Order, Paddle, PaddleStatus
from tests.support.claims import all_due
from tests.support.factories import make_funded_user, make_published_auction

FUNDS = 100_000
AT = from_ms(1_760_000_000_000)

_refs = count()


@dataclass
class Sale:
    """A sealed auction: `bidders` have bid in their order, the last one leads."""

    auction_id: UUID
    bidders: Sequence[UUID]


def sealed(
    session: Session, bidders: int, price: int = 30_000, limit: int = 40_000, bids: int | None = None
) -> Sale:
    """An auction as write-back leaves it after the seal."""
    auction_id = make_published_auction(session).id
    people = [make_funded_user(session, FUNDS) for _ in range(bidders)]
    for person in people:
        paddles.take(session, person, auction_id, limit)
    seal(session, auction_id, people if bids is None else people[:bids], price)
    return Sale(auction_id, people)


def seal(session: Session, auction_id: UUID, bidders: Sequence[UUID], price: int) -> None:
    for seq, bidder in enumerate(bidders, 1):
        add_bid(session, auction_id, seq, bidder, price)
    auction = session.get_one(Auction, auction_id)
    auction.status = AuctionStatus.SEALED
    auction.sealed_at = AT
    auction.bids = len(bidders)
    auction.seq = auction.sealed_seq = len(bidders) + 1
    if bidders:
        auction.leader_id, auction.leader_paddle = bidders[-1], len(bidders)
        auction.price = auction.hammer_price = auction.leader_maximum = price
    session.flush()


def add_bid(session: Session, auction_id: UUID, seq: int, bidder: UUID, price: int, epoch: int = 1) -> None:
    session.execute(
        insert(Bid).values(
            auction_id=auction_id,
            epoch=epoch,
            seq=seq,
            at=AT,
            bidder_id=bidder,
            paddle=seq,
            ref=f"r{next(_refs)}",
            maximum=price,
            price=price,
            leader_id=bidder,
            leader_paddle=seq,
            leader_maximum=price,
            next_minimum=price + 100,
            ends_at=AT,
            extended=False,
            bids=seq,
        )
    )


def escrow(session: Session, auction_id: UUID) -> int | None:
    return session.scalar(
        select(LedgerAccount.balance)
        .join(Order, (Order.id == LedgerAccount.owner_id) & (LedgerAccount.kind == AccountKind.ESCROW))
        .where(Order.auction_id == auction_id)
    )


def statuses(session: Session, auction_id: UUID) -> dict[UUID, PaddleStatus]:
    rows = session.execute(select(Paddle.bidder_id, Paddle.status).where(Paddle.auction_id == auction_id))
    return dict(rows.all())


def money(session: Session, user: UUID) -> tuple[int, int]:
    view = wallet.view(session, user)
    return view.available, view.held


@pytest.fixture(autouse=True)
def _the_ledger_balances(sync_database: SyncDatabase) -> Iterator[None]:
    yield
    with sync_database.transaction() as session:
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []


def test_the_winner_pays_the_hammer_price_and_the_others_nothing(db_session: Session) -> None:
    sale = sealed(db_session, bidders=3)
    *losers, winner = sale.bidders

    outcome = settlement.settle(db_session, sale.auction_id)

    assert isinstance(outcome, Settled)
    assert outcome.released == 2
    assert escrow(db_session, sale.auction_id) == 30_000
    assert money(db_session, winner) == (FUNDS - 30_000, 0)
    assert [money(db_session, loser) for loser in losers] == [(FUNDS, 0)] * 2
    assert ledger.trial_balance(db_session) == 0
    assert ledger.verify(db_session) == []
    assert statuses(db_session, sale.auction_id) == {
        winner: PaddleStatus.CAPTURED,
        losers[0]: PaddleStatus.RELEASED,
        losers[1]: PaddleStatus.RELEASED,
    }


def test_the_sale_becomes_an_order(db_session: Session) -> None:
    sale = sealed(db_session, bidders=1)

    outcome = settlement.settle(db_session, sale.auction_id)

    assert isinstance(outcome, Settled)
    auction = db_session.get_one(Auction, sale.auction_id)
    order = db_session.scalars(select(Order).where(Order.auction_id == sale.auction_id)).one()
    assert (order.id, order.buyer_id, order.seller_id) == (
        outcome.order_id,
        sale.bidders[0],
        auction.seller_id,
    )
    assert (order.hammer_price, order.state) == (30_000, "in_escrow")
    assert auction.status == AuctionStatus.SOLD
    assert auction.settled_at is not None


def test_a_hold_of_exactly_the_hammer_price_is_taken_whole(db_session: Session) -> None:
    sale = sealed(db_session, bidders=1, price=40_000, limit=40_000)

    settlement.settle(db_session, sale.auction_id)

    assert money(db_session, sale.bidders[0]) == (FUNDS - 40_000, 0)


def test_without_bids_every_hold_is_released(db_session: Session) -> None:
    sale = sealed(db_session, bidders=2, bids=0)

    outcome = settlement.settle(db_session, sale.auction_id)

    assert outcome == Settled(sale.auction_id, None, 2)
    assert [money(db_session, person) for person in sale.bidders] == [(FUNDS, 0)] * 2
    assert db_session.get_one(Auction, sale.auction_id).status == AuctionStatus.UNSOLD


def test_below_the_reserve_the_leader_gets_the_money_back_too(db_session: Session) -> None:
    sale = sealed(db_session, bidders=2)
    db_session.get_one(Auction, sale.auction_id).hammer_price = None

    outcome = settlement.settle(db_session, sale.auction_id)

    assert outcome == Settled(sale.auction_id, None, 2)
    assert [money(db_session, person) for person in sale.bidders] == [(FUNDS, 0)] * 2
    assert set(statuses(db_session, sale.auction_id).values()) == {PaddleStatus.RELEASED}
    assert db_session.get_one(Auction, sale.auction_id).status == AuctionStatus.UNSOLD
    assert settlement.settle(db_session, sale.auction_id) is None


def test_without_paddles_there_is_nothing_to_move(db_session: Session) -> None:
    sale = sealed(db_session, bidders=0)

    assert settlement.settle(db_session, sale.auction_id) == Settled(sale.auction_id, None, 0)


def test_a_paddle_that_is_being_given_back_is_released(db_session: Session) -> None:
    auction_id = make_published_auction(db_session).id
    leaving, winner = (make_funded_user(db_session, FUNDS) for _ in range(2))
    for person in (leaving, winner):
        paddles.take(db_session, person, auction_id, 40_000)
    view = paddles.begin_return(db_session, leaving, auction_id)
    seal(db_session, auction_id, [winner], 30_000)

    settlement.settle(db_session, auction_id)
    paddles.finish_return(db_session, auction_id, leaving, view.version)

    assert money(db_session, leaving) == (FUNDS, 0)
    assert statuses(db_session, auction_id)[leaving] == PaddleStatus.RELEASED


def test_settling_again_changes_nothing(db_session: Session) -> None:
    sale = sealed(db_session, bidders=2)
    settlement.settle(db_session, sale.auction_id)

    assert settlement.settle(db_session, sale.auction_id) is None
    assert escrow(db_session, sale.auction_id) == 30_000


@pytest.mark.parametrize("status", [AuctionStatus.PUBLISHED, AuctionStatus.SOLD, AuctionStatus.UNSOLD])
def test_only_what_is_sealed_is_settled(db_session: Session, status: AuctionStatus) -> None:
    sale = sealed(db_session, bidders=1)
    db_session.get_one(Auction, sale.auction_id).status = status

    assert settlement.settle(db_session, sale.auction_id) is None
    assert money(db_session, sale.bidders[0]) == (FUNDS - 40_000, 40_000)


def test_an_alarm_keeps_an_auction_from_being_settled(db_session: Session) -> None:
    sale = sealed(db_session, bidders=1)
    assert sale.auction_id in all_due(db_session, settlement.claim_due)
    alarms.note(db_session, [Alarm(sale.auction_id, AlarmReason.CONFLICT, "")])

    assert settlement.settle(db_session, sale.auction_id) is None
    assert sale.auction_id not in all_due(db_session, settlement.claim_due)


@pytest.mark.parametrize("stored", [[1, 2], [1, 3], [2, 3], [1, 2, 3, 4], [1, 2, 4], []])
def test_a_missing_or_surplus_bid_is_an_alarm(db_session: Session, stored: list[int]) -> None:
    sale = sealed(db_session, bidders=1, bids=0)
    winner = sale.bidders[0]
    for seq in stored:
        add_bid(db_session, sale.auction_id, seq, winner, 30_000)
    auction = db_session.get_one(Auction, sale.auction_id)
    auction.bids, auction.seq, auction.sealed_seq = 3, 4, 4
    auction.leader_id, auction.hammer_price = winner, 30_000

    outcome = settlement.settle(db_session, sale.auction_id)

    assert isinstance(outcome, Alarm)
    assert outcome.reason == AlarmReason.BIDS_MISSING
    assert money(db_session, winner) == (FUNDS - 40_000, 40_000)


def test_a_number_stored_in_two_epochs_is_an_alarm(db_session: Session) -> None:
    sale = sealed(db_session, bidders=2)
    add_bid(db_session, sale.auction_id, 2, sale.bidders[0], 1, epoch=2)

    assert isinstance(settlement.settle(db_session, sale.auction_id), Alarm)


def test_bids_of_several_epochs_make_one_auction(db_session: Session) -> None:
    sale = sealed(db_session, bidders=1, bids=0)
    winner = sale.bidders[0]
    for seq, epoch in ((1, 1), (2, 1), (3, 4)):
        add_bid(db_session, sale.auction_id, seq, winner, 30_000, epoch)
    auction = db_session.get_one(Auction, sale.auction_id)
    auction.bids, auction.seq, auction.sealed_seq = 3, 4, 4
    auction.leader_id, auction.hammer_price = winner, 30_000

    assert isinstance(settlement.settle(db_session, sale.auction_id), Settled)


def test_a_hold_below_the_hammer_price_is_an_alarm_and_moves_nothing(db_session: Session) -> None:
    sale = sealed(db_session, bidders=3, price=40_001, limit=40_000)

    outcome = settlement.settle(db_session, sale.auction_id)

    assert outcome == Alarm(
        sale.auction_id,
        AlarmReason.MONEY_REFUSED,
        "hold_exceeded: The hold is smaller than the amount to be captured.",
    )
    assert [money(db_session, person) for person in sale.bidders] == [(FUNDS - 40_000, 40_000)] * 3
    assert db_session.get_one(Auction, sale.auction_id).status == AuctionStatus.SEALED
    assert settlement.settle(db_session, sale.auction_id) is None


def test_a_winner_without_a_paddle_is_an_alarm(db_session: Session) -> None:
    sale = sealed(db_session, bidders=1)
    db_session.get_one(Auction, sale.auction_id).leader_id = make_funded_user(db_session, FUNDS)

    outcome = settlement.settle(db_session, sale.auction_id)

    assert isinstance(outcome, Alarm)
    assert outcome.reason == AlarmReason.MONEY_REFUSED


def test_two_hundred_paddles_are_settled_once_by_threads_at_the_same_time(
    sync_database: SyncDatabase,
) -> None:
    with sync_database.transaction() as session:
        sale = sealed(session, bidders=200)

    def settle(_: int) -> Settled | Alarm | None:
        with sync_database.transaction() as session:
            return settlement.settle(session, sale.auction_id)

    with ThreadPoolExecutor(6) as threads:
        outcomes = [outcome for outcome in threads.map(settle, range(6)) if outcome is not None]

    [outcome] = outcomes
    assert isinstance(outcome, Settled)
    assert outcome.released == 199
    with sync_database.transaction() as session:
        assert escrow(session, sale.auction_id) == 30_000
        assert {money(session, person) for person in sale.bidders[:-1]} == {(FUNDS, 0)}
        assert money(session, sale.bidders[-1]) == (FUNDS - 30_000, 0)


def parameters_of_settling(session: Session, sale: Sale) -> list[int]:
    """How many parameters each statement of a settlement has."""
    counts = []

    def count_them(_: object, __: object, ___: str, parameters: Sequence[object], *____: object) -> None:
        counts.append(len(parameters))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", count_them)
    settlement.settle(session, sale.auction_id)
    event.remove(connection, "before_cursor_execute", count_them)
    return counts


def test_neither_statements_nor_their_parameters_grow_with_the_paddles(db_session: Session) -> None:
    """PostgreSQL admits 65,535 parameters; an auction may have more paddles."""
    few, many = sealed(db_session, bidders=3, bids=1), sealed(db_session, bidders=60, bids=1)

    counts = parameters_of_settling(db_session, many)

    assert counts == parameters_of_settling(db_session, few)
    assert max(counts) < 20


def test_auctions_with_the_same_bidders_settle_at_the_same_time(sync_database: SyncDatabase) -> None:
    """Each bidder wins one auction and loses the others: every settlement locks everybody's accounts."""
    with sync_database.transaction() as session:
        people = [make_funded_user(session, 6 * FUNDS) for _ in range(6)]
        auctions = [make_published_auction(session).id for _ in people]
        for auction_id in auctions:
            for person in people:
                paddles.take(session, person, auction_id, 40_000)
        for turn, auction_id in enumerate(auctions):
            seal(session, auction_id, people[turn:] + people[:turn], 30_000)

    def settle(auction_id: UUID) -> Settled | Alarm | None:
        with sync_database.transaction() as session:
            return settlement.settle(session, auction_id)

    with ThreadPoolExecutor(6) as threads:
        outcomes = list(threads.map(settle, auctions))

    assert all(isinstance(outcome, Settled) for outcome in outcomes)
    with sync_database.transaction() as session:
        assert {money(session, person) for person in people} == {(6 * FUNDS - 30_000, 0)}


def test_an_auction_that_does_not_exist_cannot_be_settled(db_session: Session) -> None:
    with pytest.raises(Exception, match="no such auction"):
        settlement.settle(db_session, new_id())
