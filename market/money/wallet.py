"""A user's money."""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.errors import Refusal
from market.money import ledger
from market.money.refusals import MoneyRefusal
from market.platform import settings
from market.rules import MAX_AMOUNT
from store.models import AccountKind, LedgerAccount, TransferKind


class Wallet(msgspec.Struct, frozen=True):
    """What a user has, in minor units: free to use, and set aside for pending holds."""

    available: int
    held: int


def view(session: Session, user_id: UUID) -> Wallet:
    """The user's wallet; empty until money comes in."""
    rows = session.execute(
        select(LedgerAccount.kind, LedgerAccount.balance).where(
            LedgerAccount.owner_id == user_id,
            LedgerAccount.kind.in_([AccountKind.AVAILABLE, AccountKind.HELD]),
        )
    )
    balances = dict(rows.all())
    return Wallet(balances.get(AccountKind.AVAILABLE, 0), balances.get(AccountKind.HELD, 0))


def total(session: Session, user_id: UUID) -> int:
    """What is available and held together."""
    wallet = view(session, user_id)
    return wallet.available + wallet.held


def top_up(session: Session, user_id: UUID, amount: int, transfer_id: UUID) -> Wallet:
    """Bring money in from the payment provider. Repeating it with the same `transfer_id` changes nothing.

    Refuses with `switched_off`, and as `check_room` and `ledger.post` do.
    """
    accounts.keep(session, user_id)
    settings.require(session, "payments")
    available = ledger.account(session, AccountKind.AVAILABLE, user_id)
    provider = ledger.account(session, AccountKind.PROVIDER, None)
    ledger.post(session, [ledger.Posting(transfer_id, TransferKind.TOP_UP, provider, available, amount)])
    check_room(session, user_id)
    return view(session, user_id)


def check_room(session: Session, user_id: UUID) -> None:
    """Refuse with `balance_too_large` what has come in when available and held are more together than one account may
    hold: a release must always find room."""
    if total(session, user_id) > MAX_AMOUNT:
        raise Refusal(MoneyRefusal.BALANCE_TOO_LARGE)
