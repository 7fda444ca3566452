"""Users."""

from functools import partial
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.accounts.accounts import NewUser
from market.errors import Refusal
from store.database import SyncDatabase
from store.ids import new_id
from tests.support.races import at_once


def new(email: str) -> NewUser:
    return NewUser(email=email, password_hash="hash", display_name="Kim")


def test_a_registered_user_can_be_found(db_session: Session) -> None:
    email = f"Kim.{new_id()}@Example.org"
    made = accounts.register(db_session, new(email), verified=False)
    assert made is not None
    profile = accounts.profile(db_session, made)
    assert (profile.email, profile.display_name, profile.email_verified) == (email.lower(), "Kim", False)
    assert accounts.login_data(db_session, email.upper()) == (made, "hash")


def test_unknown_users_are_not_found(db_session: Session) -> None:
    assert accounts.login_data(db_session, "nobody@example.org") is None
    with pytest.raises(Refusal, match="not_found"):
        accounts.profile(db_session, new_id())


def test_an_email_address_belongs_to_one_user_whatever_its_case(sync_database: SyncDatabase) -> None:
    address = f"lee.{new_id()}@example.org"

    def register(email: str) -> UUID | None:
        with sync_database.transaction() as session:
            return accounts.register(session, new(email), verified=True)

    results = at_once([partial(register, email) for email in [address, address.upper()] * 4])
    assert results.count(None) == 7
