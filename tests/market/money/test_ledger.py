"""Money is neither made nor lost, whatever happens at once."""

from collections.abc import Callable
from functools import partial
from random import Random
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.money import ledger, wallet
from market.money.ledger import Posting
from market.money.wallet import Wallet
from market.rules import MAX_AMOUNT
from store.database import SyncDatabase
from store.ids import new_id
from store.models import AccountKind, LedgerAccount, Transfer, TransferKind
from tests.support.factories import make_funded_user, make_user
from tests.support.races import at_once


def balance(session: Session, account_id: UUID) -> int:
    return session.scalars(select(LedgerAccount.balance).where(LedgerAccount.id == account_id)).one()


def hold(session: Session, user_id: UUID, amount: int, hold_id: UUID | None = None) -> UUID:
    hold_id = hold_id or new_id()
    ledger.post(session, [ledger.holding(session, hold_id, user_id, amount, user_id)])
    return hold_id


def release(session: Session, *hold_ids: UUID) -> None:
    ledger.post(session, ledger.releasing(session, hold_ids))


def capture(session: Session, hold_id: UUID, amount: int, to_account: UUID) -> None:
    ledger.post(session, ledger.capturing(session, hold_id, amount, to_account))


def escrow(session: Session) -> UUID:
    return ledger.account(session, AccountKind.ESCROW, new_id())


def test_an_account_is_made_once(sync_database: SyncDatabase) -> None:
    owner = new_id()

    def make() -> UUID:
        with sync_database.transaction() as session:
            return ledger.account(session, AccountKind.ESCROW, owner)

    assert len(set(at_once([make] * 8))) == 1


def test_the_provider_account_without_owner_is_made_once(db_session: Session) -> None:
    first = ledger.account(db_session, AccountKind.PROVIDER, None)
    assert ledger.account(db_session, AccountKind.PROVIDER, None) == first


def test_a_hold_sets_money_aside_and_a_release_gives_it_back(db_session: Session) -> None:
    user = make_funded_user(db_session, 100)
    held = hold(db_session, user, 60)
    assert wallet.view(db_session, user) == Wallet(available=40, held=60)
    release(db_session, held)
    assert wallet.view(db_session, user) == Wallet(available=100, held=0)


def test_a_capture_moves_its_part_and_gives_the_rest_back(db_session: Session) -> None:
    user, order = make_funded_user(db_session, 100), escrow(db_session)
    capture(db_session, hold(db_session, user, 60), 45, order)
    assert wallet.view(db_session, user) == Wallet(available=55, held=0)
    assert balance(db_session, order) == 45


def test_a_hold_above_the_available_money_is_refused_and_changes_nothing(db_session: Session) -> None:
    user = make_funded_user(db_session, 100)
    with pytest.raises(Refusal) as refused:
        hold(db_session, user, 101)
    assert (refused.value.code, refused.value.fields) == ("insufficient_funds", {"missing": 1})
    assert wallet.view(db_session, user) == Wallet(available=100, held=0)


@pytest.mark.parametrize("amount", [0, -1, MAX_AMOUNT + 1])
def test_an_amount_outside_the_range_is_refused(db_session: Session, amount: int) -> None:
    user = make_funded_user(db_session, 100)
    with pytest.raises(Refusal, match="invalid_amount"):
        hold(db_session, user, amount)


def test_a_balance_never_exceeds_what_the_wire_can_carry(db_session: Session) -> None:
    user = make_funded_user(db_session, MAX_AMOUNT)
    with pytest.raises(Refusal, match="balance_too_large"):
        wallet.top_up(db_session, user, 1, new_id())


def test_the_same_transfer_again_is_done_once(db_session: Session) -> None:
    user, hold_id = make_funded_user(db_session, 100), new_id()
    hold(db_session, user, 60, hold_id)
    hold(db_session, user, 60, hold_id)
    assert wallet.view(db_session, user) == Wallet(available=40, held=60)


def test_the_same_id_with_another_content_is_a_conflict(db_session: Session) -> None:
    user, hold_id = make_funded_user(db_session, 100), new_id()
    hold(db_session, user, 60, hold_id)
    with pytest.raises(Refusal, match="transfer_conflict"):
        hold(db_session, user, 59, hold_id)


def test_a_hold_is_resolved_once_and_repeating_it_changes_nothing(db_session: Session) -> None:
    user, order = make_funded_user(db_session, 100), escrow(db_session)
    captured, released = hold(db_session, user, 50), hold(db_session, user, 50)
    for _ in range(2):
        capture(db_session, captured, 20, order)
        release(db_session, released)
    assert wallet.view(db_session, user) == Wallet(available=80, held=0)

    other: list[Callable[[], None]] = [
        partial(capture, db_session, captured, 21, order),
        partial(capture, db_session, captured, 50, order),
        partial(capture, db_session, captured, 20, escrow(db_session)),
        partial(release, db_session, captured),
        partial(capture, db_session, released, 50, order),
    ]
    for resolve in other:
        with pytest.raises(Refusal, match="hold_resolved"):
            resolve()


def test_a_capture_above_the_hold_is_refused(db_session: Session) -> None:
    user = make_funded_user(db_session, 100)
    with pytest.raises(Refusal, match="hold_exceeded"):
        capture(db_session, hold(db_session, user, 50), 51, escrow(db_session))


def test_only_a_hold_can_be_resolved(db_session: Session) -> None:
    user, top_up = make_user(db_session), new_id()
    wallet.top_up(db_session, user, 100, top_up)
    for no_hold in (top_up, new_id()):
        with pytest.raises(Refusal, match="unknown_hold"):
            release(db_session, no_hold)
        with pytest.raises(Refusal, match="unknown_hold"):
            capture(db_session, no_hold, 1, escrow(db_session))


def test_postings_are_made_all_or_none(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        rich, poor = make_funded_user(session, 100), make_funded_user(session, 10)
    with pytest.raises(Refusal, match="insufficient_funds"), sync_database.transaction() as session:
        ledger.post(session, [ledger.holding(session, new_id(), user, 50, user) for user in (rich, poor)])
    with sync_database.transaction() as session:
        assert wallet.view(session, rich) == Wallet(available=100, held=0)
        assert wallet.view(session, poor) == Wallet(available=10, held=0)


def test_verify_finds_a_balance_that_no_transfer_explains(db_session: Session) -> None:
    user = make_funded_user(db_session, 100)
    account_id = ledger.account(db_session, AccountKind.AVAILABLE, user)
    assert ledger.verify(db_session) == []
    db_session.get_one(LedgerAccount, account_id).balance += 1
    db_session.flush()
    assert ledger.verify(db_session) == [ledger.Deviation(account_id, 101, 100)]
    assert ledger.trial_balance(db_session) == 1


def test_parallel_top_ups_and_holds_of_one_wallet_lose_nothing(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        user = make_funded_user(session, 100)

    def top_up() -> Wallet:
        with sync_database.transaction() as session:
            return wallet.top_up(session, user, 10, new_id())

    def set_aside() -> UUID:
        with sync_database.transaction() as session:
            return hold(session, user, 70)

    results = at_once([top_up, set_aside] * 10)
    holds = sum(isinstance(result, UUID) for result in results)
    assert all(isinstance(result, Wallet | UUID) or result == "insufficient_funds" for result in results)
    assert 1 <= holds <= 2
    with sync_database.transaction() as session:
        assert wallet.view(session, user) == Wallet(available=200 - 70 * holds, held=70 * holds)
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []


def test_parallel_transfers_between_the_same_accounts_in_any_order_do_not_deadlock(
    sync_database: SyncDatabase,
) -> None:
    with sync_database.transaction() as session:
        users = [make_funded_user(session, 1_000) for _ in range(4)]
        accounts = [ledger.account(session, AccountKind.AVAILABLE, user) for user in users]

    def move_around(seed: int) -> None:
        for round_ in range(10):
            mixed = accounts.copy()
            Random(seed * 100 + round_).shuffle(mixed)
            pairs = zip(mixed, mixed[1:] + mixed[:1], strict=True)
            with sync_database.transaction() as session:
                ledger.post(session, [Posting(new_id(), TransferKind.TOP_UP, a, b, 1) for a, b in pairs])

    assert at_once([partial(move_around, seed) for seed in range(8)]) == [None] * 8
    with sync_database.transaction() as session:
        assert [balance(session, account_id) for account_id in accounts] == [1_000] * 4


def test_one_id_for_two_wallets_at_once_is_a_conflict_for_one_of_them(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        users = [make_funded_user(session, 100) for _ in range(6)]
    hold_id = new_id()

    def set_aside(user: UUID) -> UUID:
        with sync_database.transaction() as session:
            return hold(session, user, 50, hold_id)

    results = at_once([partial(set_aside, user) for user in users])
    assert sorted(map(str, results)) == sorted([str(hold_id)] + ["transfer_conflict"] * 5)
    with sync_database.transaction() as session:
        assert sum(wallet.view(session, user).held for user in users) == 50
        assert ledger.verify(session) == []


def test_a_hold_resolved_by_many_at_once_is_resolved_in_one_way(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        user, order = make_funded_user(session, 100), escrow(session)
        held = hold(session, user, 100)

    def resolve(amount: int) -> int:
        with sync_database.transaction() as session:
            if amount:
                capture(session, held, amount, order)
            else:
                release(session, held)
            return amount

    results = at_once([partial(resolve, amount) for amount in (0, 40, 100, 0, 40, 100, 0, 40, 100)])
    [captured] = {result for result in results if isinstance(result, int)}
    assert results.count(captured) == 3
    assert results.count("hold_resolved") == 6
    with sync_database.transaction() as session:
        assert wallet.view(session, user) == Wallet(available=100 - captured, held=0)
        assert balance(session, order) == captured


class Money(RuleBasedStateMachine):
    """Drives the ledger beside a plain model of three wallets and one escrow account."""

    database: SyncDatabase
    holds: Bundle[UUID] = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        with self.database.transaction() as session:
            self.users = [make_user(session) for _ in range(3)]
            self.order = escrow(session)
        self.wallets = {user: Wallet(0, 0) for user in self.users}
        self.in_escrow = 0
        self.made: dict[UUID, tuple[UUID, int]] = {}
        self.resolved: dict[UUID, int] = {}

    def attempt(self, action: Callable[[Session], object]) -> str | None:
        try:
            with self.database.transaction() as session:
                action(session)
        except Refusal as refusal:
            return refusal.code
        return None

    def move(self, user: UUID, available: int, held: int) -> None:
        before = self.wallets[user]
        self.wallets[user] = Wallet(before.available + available, before.held + held)

    @rule(user=st.integers(0, 2), amount=st.integers(1, 100), times=st.integers(1, 2))
    def top_up(self, user: int, amount: int, times: int) -> None:
        transfer_id = new_id()
        for _ in range(times):
            assert not self.attempt(lambda s: wallet.top_up(s, self.users[user], amount, transfer_id))
        self.move(self.users[user], amount, 0)

    @rule(target=holds, user=st.integers(0, 2), amount=st.integers(1, 150))
    def hold(self, user: int, amount: int) -> UUID:
        owner, hold_id = self.users[user], new_id()
        code = self.attempt(lambda s: hold(s, owner, amount, hold_id))
        if amount > self.wallets[owner].available:
            assert code == "insufficient_funds"
            return hold_id
        assert code is None
        self.made[hold_id] = (owner, amount)
        self.move(owner, -amount, amount)
        return hold_id

    @rule(held=holds, user=st.integers(0, 2), amount=st.integers(1, 150))
    def hold_again(self, held: UUID, user: int, amount: int) -> None:
        if held in self.made:
            code = self.attempt(lambda s: hold(s, self.users[user], amount, held))
            same = self.made[held] == (self.users[user], amount)
            assert code == (None if same else "transfer_conflict")

    @rule(held=holds, amount=st.integers(0, 150), whole=st.booleans())
    def resolve(self, held: UUID, amount: int, whole: bool) -> None:
        """Capture `amount` (or all of it), or release when it is 0."""
        user, size = self.made.get(held, (None, 0))
        amount = size if whole else amount
        if amount:
            code = self.attempt(lambda s: capture(s, held, amount, self.order))
        else:
            code = self.attempt(lambda s: release(s, held))
        if user is None:
            assert code == "unknown_hold"
        elif amount > size:
            assert code == "hold_exceeded"
        elif held in self.resolved:
            assert code == (None if self.resolved[held] == amount else "hold_resolved")
        else:
            assert code is None
            self.resolved[held] = amount
            self.move(user, size - amount, -size)
            self.in_escrow += amount

    @invariant()
    def the_books_are_balanced(self) -> None:
        with self.database.transaction() as session:
            assert ledger.trial_balance(session) == 0
            assert ledger.verify(session) == []
            assert {user: wallet.view(session, user) for user in self.users} == self.wallets
            assert balance(session, self.order) == self.in_escrow
            resolving = session.scalars(
                select(Transfer.resolves).where(Transfer.resolves.in_(self.made))
            ).all()
            assert sorted(filter(None, resolving)) == sorted(self.resolved)


def test_the_ledger_agrees_with_a_plain_model(sync_database: SyncDatabase) -> None:
    machine = type("Money", (Money,), {"database": sync_database})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
