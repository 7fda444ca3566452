"""A registered user."""

from uuid import uuid4

import pytest

from tests.support.accounts import PASSWORD, Account
from tests.support.client import Client


@pytest.fixture
async def account(guest: Client) -> Account:
    email = f"{uuid4().hex}@example.org"
    await guest.post("/auth/register", {"email": email, "password": PASSWORD, "display_name": "Ann"})
    return Account(guest, email)
