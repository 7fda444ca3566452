"""A user's money."""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from market import ledger
from store.models import Account, AccountKind, TransferKind


class Wallet(msgspec.Struct, frozen=True):
    """What a user has, in minor units: free to use, and set aside for pending holds."""

    available: int
    held: int


def view(session: Session, user_id: UUID) -> Wallet:
    """The user's wallet; empty until money comes in."""
    rows = session.execute(
        select(Account.kind, Account.balance).where(
            Account.owner_id == user_id, Account.kind.in_([AccountKind.AVAILABLE, AccountKind.HELD])
        )
    )
    balances = {AccountKind(kind): balance for kind, balance in rows}
    return Wallet(balances.get(AccountKind.AVAILABLE, 0), balances.get(AccountKind.HELD, 0))


def top_up(session: Session, user_id: UUID, amount: int, transfer_id: UUID) -> Wallet:
    """Bring money in from the payment provider. Repeating it with the same `transfer_id` changes nothing.

    Refuses as `ledger.post` does.
    """
    available = ledger.account(session, AccountKind.AVAILABLE, user_id)
    provider = ledger.account(session, AccountKind.PROVIDER, None)
    ledger.post(session, [ledger.Posting(transfer_id, TransferKind.TOP_UP, provider, available, amount)])
    return view(session, user_id)
