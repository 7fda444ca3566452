"""Money: double entry in integers of the minor unit, append-only. The only module that changes a balance.

A transfer moves an amount from the account it debits to the account it credits, so all balances together are always
zero. A hold is a transfer from a user's available to the same user's held money that stays pending until one
capture or release resolves it, once.

Every change locks its accounts in ascending id order. That keeps parallel transactions free of deadlocks as long as
each makes one `post`; so what belongs together is collected (`holding`, `releasing`, `capturing`) and posted at once.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import TableValuedAlias, cast, column, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.money.refusals import MoneyRefusal
from market.rules import MAX_AMOUNT
from store.database import any_id
from store.ids import new_id
from store.models import AccountKind, LedgerAccount, Transfer, TransferKind


class Posting(NamedTuple):
    """A transfer to be made. `amount` in minor units. `id` is made by the caller: asking again with it is harmless.

    `resolves` is the hold that a capture or release ends; `subject_id` says what it is for, such as the auction.
    """

    id: UUID
    kind: TransferKind
    debit: UUID
    credit: UUID
    amount: int
    resolves: UUID | None = None
    subject_id: UUID | None = None


_COLUMNS = ("id", "kind", "debit_account_id", "credit_account_id", "amount", "resolves", "subject_id")
"""A posting's columns of `transfers`, in its order."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """An account whose `balance` is not what its transfers add up to. There must be none."""

    account_id: UUID
    balance: int
    transferred: int


def account(session: Session, kind: AccountKind, owner_id: UUID | None) -> UUID:
    """The id of an account, which is made if it is missing. Only fees and provider have no owner."""
    wanted = select(LedgerAccount.id).where(
        LedgerAccount.kind == kind, LedgerAccount.owner_id.is_not_distinct_from(owner_id)
    )
    found = session.scalar(wanted)
    if found is None:
        new = insert_or(LedgerAccount).values(id=new_id(), kind=kind, owner_id=owner_id)
        session.execute(new.on_conflict_do_nothing())
        found = session.scalars(wanted).one()
    return found


def post(session: Session, postings: Sequence[Posting]) -> None:
    """Make all the transfers or none; those already made are left alone.

    Refuses with `invalid_amount` (not 1..2^53-1), `transfer_conflict` (the id was used for something else),
    `hold_resolved` (the hold was resolved otherwise), `insufficient_funds` or `balance_too_large`.
    """
    if any(not 1 <= posting.amount <= MAX_AMOUNT for posting in postings):
        raise Refusal(MoneyRefusal.INVALID_AMOUNT)
    balances = _lock(session, {id for posting in postings for id in (posting.debit, posting.credit)})
    missing = _missing(session, postings)
    if not missing:
        return
    changes: Counter[UUID] = Counter()
    for posting in missing:
        changes[posting.debit] -= posting.amount
        changes[posting.credit] += posting.amount
    for account_id, change in changes.items():
        _check(*balances[account_id], change)
    _write(session, missing, changes)


def _lock(session: Session, account_ids: Collection[UUID]) -> dict[UUID, tuple[AccountKind, int]]:
    rows = session.execute(
        select(LedgerAccount.id, LedgerAccount.kind, LedgerAccount.balance)
        .where(LedgerAccount.id == any_id(account_ids))
        .order_by(LedgerAccount.id)
        .with_for_update(key_share=True)
    )
    return {id: (kind, balance) for id, kind, balance in rows}


def _missing(session: Session, postings: Sequence[Posting]) -> list[Posting]:
    """Those not made yet. Asked under the locks, so that a transaction which resolved a hold first is seen."""
    made = {posting.id: posting for posting in _made(session, {posting.id for posting in postings})}
    for posting in postings:
        if made.get(posting.id, posting) == posting:
            continue
        if posting.resolves:
            raise Refusal(MoneyRefusal.HOLD_RESOLVED)
        raise Refusal(MoneyRefusal.TRANSFER_CONFLICT)
    return [posting for posting in postings if posting.id not in made]


def _made(session: Session, ids: Collection[UUID]) -> list[Posting]:
    rows = session.execute(
        select(*(Transfer.__table__.c[name] for name in _COLUMNS)).where(Transfer.id == any_id(ids))
    )
    return [Posting(*row) for row in rows]


def _check(kind: AccountKind, balance: int, change: int) -> None:
    if kind == AccountKind.PROVIDER:
        return
    if balance + change < 0:
        raise Refusal(MoneyRefusal.INSUFFICIENT_FUNDS, missing=-balance - change)
    if balance + change > MAX_AMOUNT:
        raise Refusal(MoneyRefusal.BALANCE_TOO_LARGE)


def _write(session: Session, postings: Sequence[Posting], changes: dict[UUID, int]) -> None:
    try:
        session.execute(insert(Transfer).from_select(_COLUMNS, select(_rows(_COLUMNS, postings))))
    except IntegrityError as error:
        # The locks do not order two transactions that use one id for different accounts.
        raise Refusal(MoneyRefusal.TRANSFER_CONFLICT) from error
    change = _rows(("id", "amount"), list(changes.items()))
    session.execute(
        update(LedgerAccount)
        .where(LedgerAccount.id == change.c.id)
        .values(balance=LedgerAccount.balance + change.c.amount),
        execution_options={"synchronize_session": False},
    )


def _rows(names: Sequence[str], rows: Sequence[Sequence[object]]) -> TableValuedAlias:
    """A table of any number of rows as one parameter for each of the columns of `transfers` that are named."""
    types = [Transfer.__table__.c[name].type for name in names]
    arrays = [
        cast(list(part), ARRAY(kind)) for part, kind in zip(zip(*rows, strict=True), types, strict=True)
    ]
    columns = [column(name, kind) for name, kind in zip(names, types, strict=True)]
    return func.unnest(*arrays).table_valued(*columns, name="new").render_derived()


def holding(session: Session, hold_id: UUID, user_id: UUID, amount: int, subject_id: UUID) -> Posting:
    """What sets `amount` of a user's available money aside for `subject_id`."""
    available = account(session, AccountKind.AVAILABLE, user_id)
    held = account(session, AccountKind.HELD, user_id)
    return Posting(hold_id, TransferKind.HOLD, available, held, amount, None, subject_id)


def releasing(session: Session, hold_ids: Collection[UUID]) -> list[Posting]:
    """What gives holds back whole. Refuses with `unknown_hold`."""
    return [
        Posting(
            _resolution(hold.id),
            TransferKind.RELEASE,
            hold.credit,
            hold.debit,
            hold.amount,
            hold.id,
            hold.subject_id,
        )
        for hold in _holds(session, hold_ids)
    ]


def capturing(session: Session, hold_id: UUID, amount: int, to_account: UUID) -> list[Posting]:
    """What takes `amount` of a hold to `to_account` and gives the rest back.

    Refuses with `unknown_hold`, or `hold_exceeded` when the hold is smaller than `amount`.
    """
    [hold] = _holds(session, [hold_id])
    excess = hold.amount - amount
    if excess < 0:
        raise Refusal(MoneyRefusal.HOLD_EXCEEDED)
    capture = Posting(
        _resolution(hold_id), TransferKind.CAPTURE, hold.credit, to_account, amount, hold_id, hold.subject_id
    )
    if excess == 0:
        return [capture]
    back = Posting(
        uuid5(hold_id, "excess"),
        TransferKind.EXCESS,
        hold.credit,
        hold.debit,
        excess,
        None,
        hold.subject_id,
    )
    return [capture, back]


def _resolution(hold_id: UUID) -> UUID:
    """The id of the transfer that resolves a hold: it follows from the hold, so resolving again is asking again."""
    return uuid5(hold_id, "resolution")


def _holds(session: Session, hold_ids: Collection[UUID]) -> list[Posting]:
    holds = [made for made in _made(session, hold_ids) if made.kind == TransferKind.HOLD]
    if len(holds) != len(hold_ids):
        raise Refusal(MoneyRefusal.UNKNOWN_HOLD)
    return holds


def trial_balance(session: Session) -> int:
    """The sum over all accounts: zero, always."""
    return int(session.scalar(select(func.coalesce(func.sum(LedgerAccount.balance), 0))) or 0)


def verify(session: Session) -> list[Deviation]:
    """The accounts whose balance is not the sum of their transfers."""
    credited = select(Transfer.credit_account_id.label("account_id"), Transfer.amount.label("amount"))
    debited = select(Transfer.debit_account_id, -Transfer.amount)
    moves = credited.union_all(debited).subquery()
    transferred = func.coalesce(func.sum(moves.c.amount), 0)
    rows = session.execute(
        select(LedgerAccount.id, LedgerAccount.balance, transferred)
        .outerjoin(moves, moves.c.account_id == LedgerAccount.id)
        .group_by(LedgerAccount.id)
        .having(LedgerAccount.balance != transferred)
    )
    return [Deviation(account_id, balance, int(total)) for account_id, balance, total in rows]
