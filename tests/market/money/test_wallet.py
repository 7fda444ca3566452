"""The wallet and its top-up."""

from functools import partial
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from market.bidding import paddles
from market.errors import Refusal
from market.money import wallet
from market.money.wallet import Wallet
from market.rules import MAX_AMOUNT
from store.database import Database, SyncDatabase
from store.ids import new_id
from tests.support.factories import make_published_auction, make_user
from tests.support.races import at_once


def test_a_new_wallet_is_empty(db_session: Session) -> None:
    assert wallet.view(db_session, make_user(db_session)) == Wallet(available=0, held=0)


def test_a_top_up_is_available_at_once(db_session: Session) -> None:
    user = make_user(db_session)
    assert wallet.top_up(db_session, user, 500, new_id()) == Wallet(available=500, held=0)
    assert wallet.view(db_session, user) == Wallet(available=500, held=0)


def test_a_repeated_top_up_counts_once(db_session: Session) -> None:
    user, transfer_id = make_user(db_session), new_id()
    for _ in range(3):
        assert wallet.top_up(db_session, user, 500, transfer_id) == Wallet(available=500, held=0)


@pytest.mark.parametrize("amount", [499, 501])
def test_a_top_up_id_with_another_amount_is_a_conflict(db_session: Session, amount: int) -> None:
    user, transfer_id = make_user(db_session), new_id()
    wallet.top_up(db_session, user, 500, transfer_id)
    with pytest.raises(Refusal, match="transfer_conflict"):
        wallet.top_up(db_session, user, amount, transfer_id)


def test_a_top_up_id_of_somebody_else_is_a_conflict(db_session: Session) -> None:
    transfer_id = new_id()
    wallet.top_up(db_session, make_user(db_session), 500, transfer_id)
    with pytest.raises(Refusal, match="transfer_conflict"):
        wallet.top_up(db_session, make_user(db_session), 500, transfer_id)


def test_first_top_ups_of_many_new_users_at_once_all_arrive(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        users = [make_user(session) for _ in range(16)]

    def top_up(user: UUID) -> Wallet:
        with sync_database.transaction() as session:
            return wallet.top_up(session, user, 10, new_id())

    results = at_once([partial(top_up, user) for user in users * 2])
    assert all(isinstance(result, Wallet) for result in results)
    with sync_database.transaction() as session:
        assert {wallet.view(session, user).available for user in users} == {20}


def test_what_is_held_always_finds_room_when_it_comes_back(db_session: Session) -> None:
    user, auction = make_user(db_session), make_published_auction(db_session).id
    wallet.top_up(db_session, user, MAX_AMOUNT - 1, new_id())
    paddles.take(db_session, user, auction, MAX_AMOUNT - 1)

    with pytest.raises(Refusal, match="balance_too_large"), db_session.begin_nested():
        wallet.top_up(db_session, user, 2, new_id())

    assert wallet.top_up(db_session, user, 1, new_id()) == Wallet(available=1, held=MAX_AMOUNT - 1)
    version = paddles.begin_return(db_session, user, auction).version
    paddles.finish_return(db_session, auction, user, version)
    assert wallet.view(db_session, user) == Wallet(available=MAX_AMOUNT, held=0)


async def test_the_same_use_case_runs_on_asyncio(database: Database) -> None:
    async with database.transaction() as session:
        user = await session.run_sync(make_user)
        await session.run_sync(wallet.top_up, user, 10, new_id())
    async with database.transaction() as session:
        assert await session.run_sync(wallet.view, user) == Wallet(available=10, held=0)
