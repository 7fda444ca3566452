"""Paddles and the money behind them."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from market.bidding import paddles
from market.bidding.paddles import PaddleView
from market.bidding.settlement import settle
from market.errors import Refusal
from market.listings import listings
from market.money import ledger, wallet
from market.money.wallet import Wallet
from market.rules import MAX_AMOUNT
from market.times import from_ms
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, AuctionStatus, Paddle, PaddleStatus, Transfer, TransferKind
from store.redis.auctions import HotPaddle
from tests.support.factories import a_draft, make_funded_user, make_published_auction, make_user
from tests.support.races import at_once


def change(session: Session, auction_id: UUID, **values: Any) -> None:
    """Write what write-back or settlement would write."""
    session.execute(update(Auction).where(Auction.id == auction_id).values(**values))


def pending_holds(session: Session, auction_id: UUID) -> list[int]:
    """The amounts of the holds of an auction that nothing has resolved."""
    resolved = select(Transfer.resolves).where(Transfer.resolves.is_not(None))
    return list(
        session.scalars(
            select(Transfer.amount).where(
                Transfer.subject_id == auction_id,
                Transfer.kind == TransferKind.HOLD,
                Transfer.id.not_in(resolved),
            )
        )
    )


def test_a_paddle_holds_money_and_gets_the_next_number(db_session: Session) -> None:
    auction = make_published_auction(db_session).id
    first, second = (make_funded_user(db_session, 10_000) for _ in range(2))
    taken = paddles.take(db_session, first, auction, 6_000)
    assert taken == PaddleView(auction, first, 1, 6_000, PaddleStatus.ACTIVE, version=1, hold=6_000)
    assert wallet.view(db_session, first) == Wallet(available=4_000, held=6_000)
    assert paddles.take(db_session, second, auction, 1).number == 2
    assert paddles.get(db_session, first, auction) == taken
    assert paddles.hot(taken) == HotPaddle(first, 1, 6_000, 1)


def test_a_paddle_can_be_taken_before_the_auction_opens(db_session: Session) -> None:
    opens_at = a_draft().ends_at - 60_000
    auction = make_published_auction(db_session, opens_at=opens_at)
    assert auction.state == "scheduled"
    assert paddles.take(db_session, make_funded_user(db_session), auction.id, 1_000).number == 1


def test_taking_again_with_the_same_limit_is_the_same_paddle(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    taken = paddles.take(db_session, bidder, auction, 6_000)
    assert paddles.take(db_session, bidder, auction, 6_000) == taken
    assert wallet.view(db_session, bidder).held == 6_000
    with pytest.raises(Refusal) as refused:
        paddles.take(db_session, bidder, auction, 6_001)
    assert (refused.value.code, refused.value.fields) == ("paddle_taken", {"limit": 6_000})


def test_a_paddle_needs_the_money(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction, bidder = make_published_auction(session).id, make_funded_user(session, 10_000)
    with pytest.raises(Refusal, match="insufficient_funds"), sync_database.transaction() as session:
        paddles.take(session, bidder, auction, 10_001)
    with sync_database.transaction() as session:
        with pytest.raises(Refusal, match="no_paddle"):
            paddles.get(session, bidder, auction)
        assert paddles.take(session, bidder, auction, 10_000).number == 1


@pytest.mark.parametrize("limit", [0, -1, MAX_AMOUNT + 1])
def test_a_limit_outside_the_range_is_refused(db_session: Session, limit: int) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session)
    with pytest.raises(Refusal, match="invalid_amount"):
        paddles.take(db_session, bidder, auction, limit)


def test_sellers_take_no_paddle_of_their_own(db_session: Session) -> None:
    seller = make_funded_user(db_session)
    auction = make_published_auction(db_session, seller)
    with pytest.raises(Refusal, match="own_auction"):
        paddles.take(db_session, seller, auction.id, 1_000)


def test_drafts_and_unknown_auctions_have_no_paddles(db_session: Session) -> None:
    seller, bidder = make_user(db_session), make_funded_user(db_session)
    draft = listings.create(db_session, seller, a_draft())
    for nothing in (draft.id, new_id()):
        with pytest.raises(Refusal, match="not_found"):
            paddles.take(db_session, bidder, nothing, 1_000)


@pytest.mark.parametrize(
    "over",
    [
        {"status": AuctionStatus.SEALED},
        {"status": AuctionStatus.SOLD},
        {"status": AuctionStatus.UNSOLD},
        {"opens_at": from_ms(0), "ends_at": from_ms(1), "latest_end": from_ms(2)},
    ],
)
def test_an_auction_that_is_over_changes_no_paddle(db_session: Session, over: dict[str, Any]) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session)
    paddles.take(db_session, bidder, auction, 1_000)
    change(db_session, auction, **over)
    with pytest.raises(Refusal, match="closed"):
        paddles.take(db_session, make_funded_user(db_session), auction, 1_000)
    with pytest.raises(Refusal, match="closed"):
        paddles.raise_limit(db_session, bidder, auction, 2_000, 1)
    if "status" in over:
        with pytest.raises(Refusal, match="closed"):
            paddles.begin_return(db_session, bidder, auction)


def test_raising_exchanges_the_hold(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)
    raised = paddles.raise_limit(db_session, bidder, auction, 10_000, 1)
    assert (raised.limit, raised.number, raised.version) == (10_000, 1, 2)
    assert wallet.view(db_session, bidder) == Wallet(available=0, held=10_000)
    assert pending_holds(db_session, auction) == [10_000]


@pytest.mark.parametrize("limit", [6_000, 5_999, 0])
def test_raising_means_higher(db_session: Session, limit: int) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)
    with pytest.raises(Refusal, match="limit_not_raised"):
        paddles.raise_limit(db_session, bidder, auction, limit, 1)


def test_a_raise_without_money_keeps_the_old_hold(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction, bidder = make_published_auction(session).id, make_funded_user(session, 10_000)
        taken = paddles.take(session, bidder, auction, 6_000)
    with pytest.raises(Refusal, match="insufficient_funds"), sync_database.transaction() as session:
        paddles.raise_limit(session, bidder, auction, 10_001, 1)
    with sync_database.transaction() as session:
        assert paddles.get(session, bidder, auction) == taken
        assert wallet.view(session, bidder) == Wallet(available=4_000, held=6_000)
        assert pending_holds(session, auction) == [6_000]


def test_without_a_paddle_there_is_nothing_to_raise_or_return(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session)
    for action in (
        partial(paddles.raise_limit, db_session, bidder, auction, 1_000, 1),
        partial(paddles.begin_return, db_session, bidder, auction),
        partial(paddles.finish_return, db_session, auction, bidder, 1),
        partial(paddles.cancel_return, db_session, auction, bidder, 1),
        partial(paddles.get, db_session, bidder, auction),
    ):
        with pytest.raises(Refusal, match="no_paddle"):
            action()


def test_a_paddle_is_given_back_in_two_steps(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)

    returning = paddles.begin_return(db_session, bidder, auction)
    assert (returning.status, returning.version, returning.hold) == (PaddleStatus.RETURNING, 2, 6_000)
    assert paddles.hot(returning) == HotPaddle(bidder, 1, 0, 2)
    assert paddles.begin_return(db_session, bidder, auction) == returning
    assert wallet.view(db_session, bidder).held == 6_000
    with pytest.raises(Refusal, match="paddle_returning"):
        paddles.take(db_session, bidder, auction, 6_000)
    with pytest.raises(Refusal, match="no_paddle"):
        paddles.raise_limit(db_session, bidder, auction, 7_000, 1)

    returned = paddles.finish_return(db_session, auction, bidder, returning.version)
    assert (returned.status, returned.version, returned.hold) == (PaddleStatus.RETURNED, 2, 0)
    assert wallet.view(db_session, bidder) == Wallet(available=10_000, held=0)
    assert paddles.finish_return(db_session, auction, bidder, returning.version) == returned
    assert paddles.begin_return(db_session, bidder, auction) == returned


def test_a_returned_paddle_is_taken_again_under_its_number(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)
    version = paddles.begin_return(db_session, bidder, auction).version
    paddles.finish_return(db_session, auction, bidder, version)
    again = paddles.take(db_session, bidder, auction, 2_000)
    assert (again.number, again.limit, again.version) == (1, 2_000, 3)
    assert wallet.view(db_session, bidder) == Wallet(available=8_000, held=2_000)
    assert paddles.take(db_session, make_funded_user(db_session), auction, 1_000).number == 2
    # What was late about the old version must not touch the new one.
    assert paddles.finish_return(db_session, auction, bidder, version) == again
    assert paddles.cancel_return(db_session, auction, bidder, version) == again


def test_a_leader_keeps_the_paddle(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)
    returning = paddles.begin_return(db_session, bidder, auction)
    kept = paddles.cancel_return(db_session, auction, bidder, returning.version)
    assert (kept.status, kept.version, kept.limit) == (PaddleStatus.ACTIVE, 3, 6_000)
    assert paddles.hot(kept).limit == 6_000
    assert paddles.cancel_return(db_session, auction, bidder, returning.version) == kept
    assert paddles.finish_return(db_session, auction, bidder, returning.version) == kept
    # A second attempt is not ended by what is late about the first.
    second = paddles.begin_return(db_session, bidder, auction)
    assert paddles.finish_return(db_session, auction, bidder, returning.version) == second
    assert paddles.cancel_return(db_session, auction, bidder, returning.version) == second
    assert wallet.view(db_session, bidder).held == 6_000


def test_no_money_goes_back_while_postgresql_knows_its_owner_as_the_leader(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 6_000)
    change(db_session, auction, leader_id=bidder)
    returning = paddles.begin_return(db_session, bidder, auction)
    assert paddles.finish_return(db_session, auction, bidder, returning.version) == returning
    change(db_session, auction, leader_id=make_user(db_session))
    finished = paddles.finish_return(db_session, auction, bidder, returning.version)
    assert finished.status == PaddleStatus.RETURNED


def unsynced(session: Session, auction_id: UUID, older_than_s: float = 0) -> list[PaddleView]:
    return [paddle for paddle in paddles.unsynced(session, older_than_s) if paddle.auction_id == auction_id]


def test_what_redis_has_not_confirmed_is_left_to_the_sweep(sync_database: SyncDatabase) -> None:
    def in_transaction(use_case: Callable[..., Any], *args: Any) -> Any:
        with sync_database.transaction() as session:
            return use_case(session, *args)

    auction = in_transaction(make_published_auction).id
    bidder = in_transaction(make_funded_user)
    taken = in_transaction(paddles.take, bidder, auction, 1_000)
    assert in_transaction(unsynced, auction) == [taken]
    assert in_transaction(unsynced, auction, 3600) == []
    in_transaction(paddles.synced, auction, bidder, 1)
    assert in_transaction(unsynced, auction) == []

    raised = in_transaction(paddles.raise_limit, bidder, auction, 2_000, 1)
    in_transaction(paddles.synced, auction, bidder, 1)
    assert in_transaction(unsynced, auction) == [raised]
    in_transaction(paddles.synced, auction, bidder, 2)
    in_transaction(paddles.synced, auction, bidder, 1)  # late
    assert in_transaction(unsynced, auction) == []

    returning = in_transaction(paddles.begin_return, bidder, auction)
    in_transaction(paddles.synced, auction, bidder, 3)
    assert in_transaction(unsynced, auction) == [returning]
    in_transaction(paddles.finish_return, auction, bidder, 3)
    assert in_transaction(unsynced, auction) == []


def test_the_sweep_looks_into_its_small_index(db_session: Session) -> None:
    db_session.execute(text("SET LOCAL enable_seqscan = off"))
    query = (
        "EXPLAIN SELECT id FROM paddles WHERE (status = 'returning' OR status = 'active'"
        " AND synced_version < version) AND updated_at < now() ORDER BY updated_at"
    )
    assert "ix_paddles_unsynced" in "\n".join(db_session.scalars(text(query)))


def test_fifty_paddles_taken_at_once_have_the_numbers_one_to_fifty(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_published_auction(session).id
        bidders = [make_funded_user(session, 1_000) for _ in range(50)]

    def take(bidder: UUID) -> int:
        with sync_database.transaction() as session:
            return paddles.take(session, bidder, auction, 1_000).number

    numbers = at_once([partial(take, bidder) for bidder in bidders])
    assert sorted(map(int, numbers)) == list(range(1, 51))


def test_one_paddle_taken_many_times_at_once_is_one_paddle(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction, bidder = make_published_auction(session).id, make_funded_user(session, 10_000)

    def take() -> PaddleView:
        with sync_database.transaction() as session:
            return paddles.take(session, bidder, auction, 1_000)

    first, *rest = at_once([take] * 8)
    assert rest == [first] * 7
    with sync_database.transaction() as session:
        assert wallet.view(session, bidder) == Wallet(available=9_000, held=1_000)


def test_the_same_money_backs_one_paddle_only(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        bidder = make_funded_user(session, 1_000)
        targets = [make_published_auction(session).id for _ in range(4)]

    def take(auction: UUID) -> str:
        with sync_database.transaction() as session:
            return paddles.take(session, bidder, auction, 1_000).status

    assert sorted(at_once([partial(take, auction) for auction in targets])) == [
        "active",
        "insufficient_funds",
        "insufficient_funds",
        "insufficient_funds",
    ]
    with sync_database.transaction() as session:
        assert wallet.view(session, bidder) == Wallet(available=0, held=1_000)


def test_an_edit_is_of_the_version_that_was_read(db_session: Session) -> None:
    auction, bidder = make_published_auction(db_session).id, make_funded_user(db_session, 10_000)
    paddles.take(db_session, bidder, auction, 1_000)
    for version in (0, 2):
        with pytest.raises(Refusal, match="precondition_failed"):
            paddles.raise_limit(db_session, bidder, auction, 2_000, version)
    assert paddles.raise_limit(db_session, bidder, auction, 2_000, 1).version == 2
    assert wallet.view(db_session, bidder).held == 2_000


def test_of_parallel_raises_of_one_version_one_counts(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction, bidder = make_published_auction(session).id, make_funded_user(session, 10_000)
        paddles.take(session, bidder, auction, 1_000)

    def raise_to(limit: int) -> int:
        with sync_database.transaction() as session:
            return paddles.raise_limit(session, bidder, auction, limit, 1).limit

    results = at_once([partial(raise_to, limit) for limit in range(2_000, 10_000, 1_000)])
    assert results.count("precondition_failed") == 7
    [limit] = {result for result in results if isinstance(result, int)}
    with sync_database.transaction() as session:
        assert paddles.get(session, bidder, auction).limit == limit
        assert pending_holds(session, auction) == [limit]
        assert wallet.view(session, bidder) == Wallet(available=10_000 - limit, held=limit)


def test_returns_raises_and_settlement_at_once_free_each_hold_once(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction = make_published_auction(session).id
        bidders = [make_funded_user(session, 10_000) for _ in range(9)]
        for bidder in bidders:
            paddles.take(session, bidder, auction, 4_000)
        returning = {bidder: paddles.begin_return(session, bidder, auction).version for bidder in bidders[:3]}
        change(
            session,
            auction,
            status=AuctionStatus.SEALED,
            seq=1,
            sealed_seq=1,
            sealed_at=func.now(),
        )

    def finish(bidder: UUID) -> str:
        with sync_database.transaction() as session:
            return paddles.finish_return(session, auction, bidder, returning[bidder]).status

    def cancel(bidder: UUID) -> str:
        with sync_database.transaction() as session:
            return paddles.cancel_return(session, auction, bidder, returning[bidder]).status

    def raise_to(bidder: UUID) -> int:
        with sync_database.transaction() as session:
            return paddles.raise_limit(session, bidder, auction, 9_000, 1).limit

    def close() -> str:
        with sync_database.transaction() as session:
            settle(session, auction)
            return "settled"

    calls: list[Callable[[], object]] = [partial(finish, bidder) for bidder in returning]
    calls += [partial(cancel, bidder) for bidder in returning]
    calls += [partial(raise_to, bidder) for bidder in bidders[3:]]
    calls += [close, close]
    at_once(calls)
    with sync_database.transaction() as session:
        assert (
            session.scalars(select(Auction.status).where(Auction.id == auction)).one() == AuctionStatus.UNSOLD
        )
        assert {wallet.view(session, bidder) for bidder in bidders} == {Wallet(available=10_000, held=0)}
        assert pending_holds(session, auction) == []
        left = session.scalars(select(Paddle.status).where(Paddle.auction_id == auction)).all()
        assert set(left) <= {PaddleStatus.RETURNED, PaddleStatus.RELEASED}
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []


def test_a_decision_rests_on_what_others_have_committed_meanwhile(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        auction, bidder = make_published_auction(session).id, make_funded_user(session, 10_000)
        paddles.take(session, bidder, auction, 1_000)
    with sync_database.transaction() as session:
        held = session.scalars(select(Paddle).where(Paddle.bidder_id == bidder)).one()
        with sync_database.transaction() as other:
            paddles.raise_limit(other, bidder, auction, 5_000, 1)
        with pytest.raises(Refusal, match="limit_not_raised"):
            paddles.raise_limit(session, bidder, auction, 4_000, 2)
        assert held.limit == 5_000
    with sync_database.transaction() as session:
        seen = session.get_one(Auction, auction)
        with sync_database.transaction() as other:
            change(other, auction, status=AuctionStatus.SEALED)
        with pytest.raises(Refusal, match="closed"):
            paddles.raise_limit(session, bidder, auction, 6_000, 1)
        assert seen.status == AuctionStatus.SEALED
