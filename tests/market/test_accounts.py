"""Users."""

from functools import partial

import pytest
from sqlalchemy.orm import Session

from market import accounts
from market.accounts import Profile
from market.errors import Refusal
from store.database import SyncDatabase
from store.ids import new_id
from tests.market.parallel import at_once


def test_a_registered_user_can_be_found(db_session: Session) -> None:
    email = f"Kim.{new_id()}@Example.org"
    made = accounts.register(db_session, email, "hash", "Kim")
    assert (made.email, made.display_name) == (email.lower(), "Kim")
    assert accounts.profile(db_session, made.id) == made
    assert accounts.login_data(db_session, email.upper()) == (made.id, "hash")


def test_unknown_users_are_not_found(db_session: Session) -> None:
    assert accounts.login_data(db_session, "nobody@example.org") is None
    with pytest.raises(Refusal, match="not_found"):
        accounts.profile(db_session, new_id())


def test_an_email_address_belongs_to_one_user_whatever_its_case(sync_database: SyncDatabase) -> None:
    address = f"lee.{new_id()}@example.org"

    def register(email: str) -> Profile:
        with sync_database.transaction() as session:
            return accounts.register(session, email, "hash", "Lee")

    results = at_once([partial(register, email) for email in [address, address.upper()] * 4])
    assert results.count("email_taken") == 7
