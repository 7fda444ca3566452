"""Tokens out of e-mails, when many people use them at once."""

from functools import partial
from uuid import UUID

from sqlalchemy import text

from market.accounts import email_tokens
from market.notifications import account_emails
from store.database import SyncDatabase
from store.models import AccountEmailKind, User
from tests.support.factories import make_user
from tests.support.races import at_once


def a_mail(database: SyncDatabase) -> str:
    """Write an e-mail for a new password, due before all others; its address."""
    with database.transaction() as session:
        address = session.get_one(User, make_user(session)).email
        account_emails.write(session, AccountEmailKind.RESET, address)
        session.execute(
            text("UPDATE account_emails SET due_at = '2000-01-01' WHERE address = :address"),
            {"address": address},
        )
    return address


def test_of_many_resets_by_one_token_at_the_same_moment_one_works(sync_database: SyncDatabase) -> None:
    address = a_mail(sync_database)
    with sync_database.transaction() as session:
        claim = account_emails.claim(session)
    assert isinstance(claim, account_emails.EmailClaim)
    assert claim.address == address
    token = claim.token or ""

    def reset(number: int) -> UUID:
        with sync_database.transaction() as session:
            return email_tokens.reset(session, token, f"hash {number}")

    results = at_once([partial(reset, number) for number in range(8)])
    assert results.count("invalid_token") == 7
    assert sum(isinstance(outcome, UUID) for outcome in results) == 1


def test_a_mail_that_somebody_else_has_in_hand_is_passed_over(sync_database: SyncDatabase) -> None:
    addresses = {a_mail(sync_database), a_mail(sync_database)}
    with sync_database.transaction() as first, sync_database.transaction() as second:
        second.execute(text("SET LOCAL lock_timeout = '5s'"))
        claims = [account_emails.claim(first), account_emails.claim(second)]
    assert {claim.address for claim in claims if isinstance(claim, account_emails.EmailClaim)} == addresses
