"""Confirming an address, and new passwords for forgotten ones."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, text

from market.listings import listings
from market.notifications import account_emails
from market.notifications.account_emails import EmailClaim
from store.database import SyncDatabase
from store.models import AccountEmail, AccountEmailKind, EmailToken, EmailTokenPurpose, User
from store.redis.clients import Hot
from tests.support.client import Client, People
from tests.support.factories import a_draft, make_published_auction

PASSWORD = "correct horse"
NEW_PASSWORD = "battery staple"


@dataclass
class Ann:
    """Somebody who has registered, and her mailbox."""

    guest: Client
    database: SyncDatabase
    email: str

    async def log_in(self, password: str = PASSWORD) -> None:
        credentials = {"email": self.email, "password": password}
        self.guest.token = (await self.guest.post("/auth/login", credentials))["access_token"]

    async def forgets(self) -> str:
        """The token of the e-mail for a new password."""
        await self.guest.post("/auth/forgot", {"email": self.email})
        return self.token()

    def token(self) -> str:
        """The token in the e-mail that she gets next."""
        token = self.receive().token
        assert token is not None
        return token

    def receive(self) -> EmailClaim:
        """The next e-mail to her, as it is sent."""
        with self.database.transaction() as session:
            # To the front of what other tests have left.
            session.execute(
                text(
                    "UPDATE account_emails SET due_at = '2000-01-01' WHERE address = :email AND sent_at IS NULL"
                ),
                {"email": self.email},
            )
            claim = account_emails.claim(session)
            assert isinstance(claim, account_emails.EmailClaim)
            assert claim.address == self.email
            account_emails.sent(session, claim)
        return claim

    def waiting(self) -> list[AccountEmailKind]:
        """What the e-mails to her are about that are not sent yet."""
        with self.database.transaction() as session:
            mine = select(AccountEmail.kind).where(
                AccountEmail.address == self.email, AccountEmail.sent_at.is_(None)
            )
            return list(session.scalars(mine.order_by(AccountEmail.id)))

    def age(self, by: str) -> None:
        """Let time pass for her tokens."""
        with self.database.transaction() as session:
            session.execute(
                text(
                    "UPDATE email_tokens SET expires_at = expires_at - CAST(:by AS interval)"
                    " WHERE user_id = (SELECT id FROM users WHERE email = :email)"
                ),
                {"email": self.email, "by": by},
            )


@pytest.fixture
async def ann(guest: Client, sync_database: SyncDatabase, change_services: Callable[..., None]) -> Ann:
    change_services(verify_email=True)
    email = f"{uuid4().hex}@example.org"
    await guest.post("/auth/register", {"email": email, "password": PASSWORD, "display_name": "Ann"})
    return Ann(guest, sync_database, email)


async def test_the_token_in_the_mail_verifies_the_address_once(ann: Ann) -> None:
    await ann.log_in()
    assert (await ann.guest.get("/me"))["email_verified"] is False
    token = ann.token()
    await ann.guest.post("/auth/verify", {"token": token})
    assert (await ann.guest.get("/me"))["email_verified"] is True
    assert await ann.guest.refused("POST", "/auth/verify", {"token": token}) == "invalid_token"
    assert await ann.guest.refused("POST", "/me/verification") == "email_verified"


async def test_a_newer_mail_voids_the_one_before(ann: Ann) -> None:
    await ann.log_in()
    older = ann.token()
    assert (await ann.guest.call("POST", "/me/verification")).body == {"email": ann.email}
    newer = ann.token()
    assert await ann.guest.refused("POST", "/auth/verify", {"token": older}) == "invalid_token"
    await ann.guest.post("/auth/verify", {"token": newer})

    older, newer = await ann.forgets(), await ann.forgets()
    assert await reset(ann, older) == "invalid_token"
    assert await reset(ann, newer) == ""


async def test_a_token_counts_for_its_time_only(ann: Ann) -> None:
    token = ann.token()
    ann.age("24 hours")
    assert await ann.guest.refused("POST", "/auth/verify", {"token": token}) == "invalid_token"
    token = await ann.forgets()
    ann.age("29 minutes")
    assert await reset(ann, token, "password123") == "password_too_common"
    ann.age("1 minute")
    assert await reset(ann, token) == "invalid_token"


async def test_a_token_is_good_for_its_purpose_only(ann: Ann) -> None:
    verify = ann.token()
    assert await reset(ann, verify) == "invalid_token"
    forgotten = await ann.forgets()
    assert await ann.guest.refused("POST", "/auth/verify", {"token": forgotten}) == "invalid_token"
    await ann.guest.post("/auth/verify", {"token": verify})
    assert await reset(ann, forgotten) == ""


@pytest.mark.parametrize("token", ["x", "x" * 43, "-" * 128])
async def test_an_unknown_token_is_refused_without_the_work_of_a_hash(
    ann: Ann, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setattr(PasswordHasher, "hash", lambda *_: pytest.fail("hashed"))
    assert await ann.guest.refused("POST", "/auth/verify", {"token": token}) == "invalid_token"
    assert await reset(ann, token) == "invalid_token"


async def reset(ann: Ann, token: str, password: str = NEW_PASSWORD) -> str:
    """The code of the refusal; nothing if it worked."""
    answer = await ann.guest.call("POST", "/auth/reset", {"token": token, "new_password": password})
    return "" if answer.status == 204 else str(answer.body["code"])


async def test_a_reset_changes_the_password_ends_all_sessions_and_says_so(ann: Ann, hot: Hot) -> None:
    await ann.log_in()
    [session] = (await ann.guest.get("/me/sessions"))["items"]
    ann.receive()
    token = await ann.forgets()

    assert await reset(ann, token) == ""

    assert await ann.guest.refused("GET", "/me") == "unauthenticated"
    assert await hot.client.exists(f"revoked:{session['id']}")
    ann.guest.token = None
    credentials = {"email": ann.email, "password": PASSWORD}
    assert await ann.guest.refused("POST", "/auth/login", credentials) == "invalid_credentials"
    assert await reset(ann, token) == "invalid_token"
    await ann.log_in(NEW_PASSWORD)
    # The e-mail has arrived, so the address is hers.
    assert (await ann.guest.get("/me"))["email_verified"] is True
    assert ann.receive().kind is AccountEmailKind.PASSWORD_CHANGED


async def test_of_many_resets_at_once_by_one_token_one_works(ann: Ann) -> None:
    ann.receive()
    token = await ann.forgets()
    passwords = [f"{NEW_PASSWORD} {number} x" for number in range(6)]
    codes = await asyncio.gather(*(reset(ann, token, password) for password in passwords))
    assert sorted(codes) == ["", *["invalid_token"] * 5]
    await ann.log_in(passwords[codes.index("")])


async def test_a_changed_password_voids_resets_sent_and_unsent_and_is_told_by_mail(ann: Ann) -> None:
    await ann.log_in()
    ann.receive()
    sent = await ann.forgets()
    await ann.guest.post("/auth/forgot", {"email": ann.email})
    assert ann.waiting() == [AccountEmailKind.RESET]

    body = {"old_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await ann.guest.call("POST", "/me/password", body)).status == 204

    assert ann.waiting() == [AccountEmailKind.PASSWORD_CHANGED]
    assert await reset(ann, sent, "third password") == "invalid_token"


@pytest.mark.parametrize("password", ["password123", "Ann!!!!!!!1234"])
async def test_a_new_password_must_be_uncommon_too(ann: Ann, password: str) -> None:
    await ann.log_in()
    ann.receive()
    body = {"old_password": PASSWORD, "new_password": password}
    assert await ann.guest.refused("POST", "/me/password", body) == "password_too_common"
    token = await ann.forgets()
    assert await reset(ann, token, password) == "password_too_common"
    assert await reset(ann, token) == ""


async def test_forgetting_answers_the_same_for_the_same_work_whether_or_not_the_address_is_known(
    ann: Ann, sync_database: SyncDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PasswordHasher, "hash", lambda *_: pytest.fail("hashed"))
    unknown = f"{uuid4().hex}@example.org"
    answers = [await ann.guest.call("POST", "/auth/forgot", {"email": e}) for e in (ann.email, unknown)]
    assert [answer.status for answer in answers] == [202, 202]
    assert [answer.body for answer in answers] == [{"email": ann.email}, {"email": unknown}]
    assert set(answers[0].headers) == set(answers[1].headers)
    with sync_database.transaction() as session:
        written = select(AccountEmail.address).where(
            AccountEmail.address.in_([ann.email, unknown]), AccountEmail.kind == AccountEmailKind.RESET
        )
        assert set(session.scalars(written)) == {ann.email, unknown}


async def test_no_token_lies_in_a_table(ann: Ann, sync_database: SyncDatabase) -> None:
    tokens = [ann.token(), await ann.forgets()]
    with sync_database.transaction() as session:
        rows: list[Any] = []
        for table in (AccountEmail, EmailToken):
            rows += session.execute(select(*table.__table__.columns)).all()
        user = session.scalars(select(User.id).where(User.email == ann.email)).one()
        mine = dict(
            session.execute(
                select(EmailToken.purpose, EmailToken.token_hash).where(EmailToken.user_id == user)
            ).all()
        )
    for token in tokens:
        assert token not in str(rows)
    assert mine == {
        EmailTokenPurpose.VERIFY: account_emails.hash_of(tokens[0]),
        EmailTokenPurpose.RESET: account_emails.hash_of(tokens[1]),
    }


async def test_a_user_who_has_not_verified_the_address_only_looks_on(
    person: People, sync_database: SyncDatabase
) -> None:
    newcomer = person(9_000, verified=False)
    with sync_database.transaction() as session:
        auction = make_published_auction(session).id
        own = listings.create(session, newcomer.user_id, a_draft()).id

    assert await newcomer.refused("POST", f"/seller/auctions/{own}/publish") == "email_not_verified"
    paddle = (f"/auctions/{auction}/paddle", {"limit": 5_000})
    assert await newcomer.refused("POST", *paddle) == "email_not_verified"
    assert (await newcomer.get("/wallet"))["available"] == 9_000
    assert (await newcomer.get(f"/auctions/{auction}"))["id"] == str(auction)


async def test_where_addresses_are_not_verified_a_new_user_may_do_everything(
    guest: Client, sync_database: SyncDatabase
) -> None:
    email = f"{uuid4().hex}@example.org"
    await guest.post("/auth/register", {"email": email, "password": PASSWORD, "display_name": "Ann"})
    ann = Ann(guest, sync_database, email)
    await ann.log_in()
    assert (await guest.get("/me"))["email_verified"] is True
    assert ann.waiting() == []


async def test_a_deleted_account_gets_no_mail_and_its_tokens_are_void(ann: Ann) -> None:
    token = ann.token()
    await ann.log_in()
    await ann.guest.post("/auth/forgot", {"email": ann.email})
    assert (await ann.guest.call("POST", "/me/deletion", {"password": PASSWORD})).status == 204
    assert ann.waiting() == []
    ann.guest.token = None
    assert await ann.guest.refused("POST", "/auth/verify", {"token": token}) == "invalid_token"
