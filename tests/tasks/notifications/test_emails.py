"""E-mails are sent: by SMTP or into files, whatever goes wrong with one of them."""

import email
import email.policy
import stat
from dataclasses import dataclass, replace
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from structlog.testing import capture_logs

from market.accounts import email_tokens
from market.errors import Refusal
from market.notifications import account_emails
from store import outbox
from store.database import SyncDatabase
from store.ids import new_id
from store.models import AccountEmail, AccountEmailKind, Language, User
from tasks.app import Resources
from tasks.notifications import emails
from tasks.notifications.emails import RUNNING, send_due
from tasks.platform import upkeep
from tasks.senders.smtp import Folder, PostOffice, Smtp
from tests.support.factories import make_user
from tests.support.servers import (
    PASSWORD,
    USER,
    Certificate,
    Mailbox,
    StartServer,
)

KINDS = list(AccountEmailKind)


class Crash(BaseException):
    """The process dies here."""


@pytest.fixture(autouse=True)
def _no_other_mails(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        session.execute(text("DELETE FROM account_emails"))
        session.execute(text("DELETE FROM notifications"))


def a_reader(database: SyncDatabase, language: Language = Language.ENGLISH) -> str:
    """The address of a new user."""
    with database.transaction() as session:
        user_id = make_user(session, verified=False)
        user = session.get_one(User, user_id)
        user.language = language
        return user.email


def write(database: SyncDatabase, address: str, *kinds: AccountEmailKind) -> None:
    with database.transaction() as session:
        for kind in kinds:
            account_emails.write(session, kind, address)


def stored(database: SyncDatabase, address: str) -> AccountEmail:
    with database.transaction() as session:
        return session.scalars(select(AccountEmail).where(AccountEmail.address == address)).one()


def make_due(database: SyncDatabase) -> None:
    """Let the time until the next attempt pass."""
    with database.transaction() as session:
        session.execute(
            update(AccountEmail).where(AccountEmail.sent_at.is_(None)).values(due_at=text("now()"))
        )


def token_in(message: EmailMessage) -> str:
    """The line of the text that is nothing but a token."""
    [token] = [line for line in message.get_content().splitlines() if len(line) == 43 and " " not in line]
    return str(token)


@pytest.mark.parametrize("language", list(Language))
def test_every_kind_of_mail_arrives_in_the_language_of_its_reader(
    by_smtp: Resources, mailbox: Mailbox, language: Language
) -> None:
    address = a_reader(by_smtp.database, language)
    write(by_smtp.database, address, *KINDS)

    send_due(by_smtp)

    assert len(mailbox.received) == len(KINDS)
    for message in mailbox.received:
        assert message["To"] == address
        assert message["From"] == "NeighborBid <from@example.org>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert message.get_content_type() == "text/plain"
        text = message["Subject"] + message.get_content()
        assert any("가" <= letter <= "힣" for letter in text) is (language is Language.KOREAN)
        assert "https://bid.example/" in text
        assert "None" not in text
        assert "{" not in text
    assert len({message["Subject"] for message in mailbox.received}) == len(KINDS)


def test_the_link_in_the_mail_has_the_token_that_verifies_the_address(
    by_smtp: Resources, mailbox: Mailbox
) -> None:
    write(by_smtp.database, a_reader(by_smtp.database), AccountEmailKind.VERIFY)
    with capture_logs() as logs:
        send_due(by_smtp)
    token = token_in(mailbox.received[0])
    assert f"https://bid.example/#/verify?token={token}" in mailbox.received[0].get_content().splitlines()
    assert token not in str(logs)
    with by_smtp.database.transaction() as session:
        email_tokens.verify(session, token)


def test_a_mail_is_sent_once(by_smtp: Resources, mailbox: Mailbox) -> None:
    write(by_smtp.database, a_reader(by_smtp.database), AccountEmailKind.ADDRESS_TAKEN)
    send_due(by_smtp)
    make_due(by_smtp.database)
    send_due(by_smtp)
    assert len(mailbox.received) == 1


def test_nobody_gets_mail_for_an_unknown_address_and_no_row_stays(
    by_smtp: Resources, mailbox: Mailbox, sync_database: SyncDatabase
) -> None:
    write(by_smtp.database, f"{new_id()}@example.org", AccountEmailKind.RESET)
    send_due(by_smtp)
    assert mailbox.received == []
    with sync_database.transaction() as session:
        assert session.scalar(select(AccountEmail.id)) is None


def test_a_verified_address_is_not_asked_again(by_smtp: Resources, mailbox: Mailbox) -> None:
    address = a_reader(by_smtp.database)
    write(by_smtp.database, address, AccountEmailKind.VERIFY)
    with by_smtp.database.transaction() as session:
        session.execute(update(User).where(User.email == address).values(email_verified_at=text("now()")))
    send_due(by_smtp)
    assert mailbox.received == []


def test_a_mail_that_is_refused_waits_and_keeps_no_other_waiting(
    by_smtp: Resources, mailbox: Mailbox
) -> None:
    bad, good = a_reader(by_smtp.database), a_reader(by_smtp.database)
    mailbox.refused.add(bad)
    write(by_smtp.database, bad, AccountEmailKind.RESET)
    write(by_smtp.database, good, AccountEmailKind.RESET)

    with capture_logs() as logs:
        send_due(by_smtp)

    assert [message["To"] for message in mailbox.received] == [good]
    assert [entry["event"] for entry in logs] == ["mail_failed"]
    assert bad not in str(logs)
    waiting = stored(by_smtp.database, bad)
    assert (waiting.attempts, waiting.last_error) == (1, "SMTPRecipientsRefused 450")
    mailbox.refused.clear()
    send_due(by_smtp)
    assert len(mailbox.received) == 1, "not before its time"
    make_due(by_smtp.database)
    send_due(by_smtp)
    assert [message["To"] for message in mailbox.received] == [good, bad]


def test_the_waits_double_and_at_last_a_mail_is_dead(by_smtp: Resources, mailbox: Mailbox) -> None:
    address = a_reader(by_smtp.database)
    mailbox.refused.add(address)
    write(by_smtp.database, address, AccountEmailKind.RESET)
    waits: list[float] = []
    with capture_logs() as logs:
        for _attempt in range(outbox.MAX_ATTEMPTS):
            make_due(by_smtp.database)
            send_due(by_smtp)
            with by_smtp.database.transaction() as session:
                left = (
                    "SELECT extract(epoch FROM due_at - now()) FROM account_emails WHERE address = :address"
                )
                waits.append(float(session.scalar(text(left), {"address": address}) or 0))

    for before, wait in pairwise(waits[:-1]):
        assert wait > 1.8 * before or wait > 0.9 * outbox.LONGEST_DELAY.total_seconds()
    assert max(waits) <= outbox.LONGEST_DELAY.total_seconds()
    assert [entry["event"] for entry in logs][-2:] == ["mail_failed", "mail_given_up"]
    assert logs[-1]["log_level"] == "error"
    assert stored(by_smtp.database, address).dead_at is not None
    mailbox.refused.clear()
    make_due(by_smtp.database)
    send_due(by_smtp)
    assert mailbox.received == []


def test_a_mail_that_is_refused_for_good_is_not_sent_again(by_smtp: Resources, mailbox: Mailbox) -> None:
    address = a_reader(by_smtp.database)
    mailbox.refused.add(address)
    mailbox.refusal = 550
    write(by_smtp.database, address, AccountEmailKind.RESET)
    with capture_logs() as logs:
        send_due(by_smtp)
    assert [entry["event"] for entry in logs] == ["mail_given_up"]
    mail = stored(by_smtp.database, address)
    assert (mail.dead_at is not None, mail.last_error) == (True, "SMTPRecipientsRefused 550")


def test_a_server_that_does_not_take_our_password_loses_no_mail(
    resources: Resources, start_server: StartServer, mailbox: Mailbox
) -> None:
    port = start_server(authenticator=mailbox.authenticate, auth_require_tls=False)
    server = Smtp("localhost", port, "none", USER, "another password")
    address = a_reader(resources.database)
    write(resources.database, address, AccountEmailKind.RESET)
    send_due(replace(resources, post=replace(resources.post, transport=server)))
    mail = stored(resources.database, address)
    assert (mail.dead_at, mail.last_error) == (None, "SMTPAuthenticationError 535")


def test_what_a_server_says_at_the_end_has_no_mail_sent_again(by_smtp: Resources, mailbox: Mailbox) -> None:
    mailbox.goodbye = "421 I am tired"
    address = a_reader(by_smtp.database)
    write(by_smtp.database, address, AccountEmailKind.RESET)
    send_due(by_smtp)
    assert len(mailbox.received) == 1
    assert stored(by_smtp.database, address).sent_at is not None


def test_what_processes_die_of_is_given_up(by_smtp: Resources, mailbox: Mailbox) -> None:
    address = a_reader(by_smtp.database)
    write(by_smtp.database, address, AccountEmailKind.RESET)
    with by_smtp.database.transaction() as session:
        session.execute(
            update(AccountEmail).where(AccountEmail.address == address).values(attempts=outbox.MAX_ATTEMPTS)
        )
    send_due(by_smtp)
    assert mailbox.received == []
    mail = stored(by_smtp.database, address)
    assert (mail.dead_at is not None, mail.last_error) == (True, "interrupted")


def test_no_transaction_goes_through_all_mails_for_nobody(resources: Resources) -> None:
    write(resources.database, f"{new_id()}@example.org", *[AccountEmailKind.RESET] * 3)
    for left in (2, 1, 0):
        with resources.database.transaction() as session:
            assert isinstance(account_emails.claim(session), account_emails.Dropped)
            assert session.scalar(select(func.count()).select_from(AccountEmail)) == left


@dataclass(frozen=True)
class Dying(PostOffice):
    """The process dies when the token is committed and the e-mail has not left."""

    def send(self, claim: account_emails.EmailClaim) -> None:
        raise Crash(claim.token)


def test_after_a_crash_between_commit_and_sending_the_mail_goes_out_with_a_new_token(
    by_smtp: Resources, mailbox: Mailbox
) -> None:
    write(by_smtp.database, a_reader(by_smtp.database), AccountEmailKind.RESET)
    post = by_smtp.post
    dying = Dying(post.transport, post.sender, post.url, post.unsubscribe_key)
    with pytest.raises(Crash) as crash:
        send_due(replace(by_smtp, post=dying))

    send_due(by_smtp)
    assert mailbox.received == [], "its lease is not over"
    make_due(by_smtp.database)
    send_due(by_smtp)

    [message] = mailbox.received
    with by_smtp.database.transaction() as session:
        email_tokens.may_reset(session, token_in(message))
        with pytest.raises(Refusal, match="invalid_token"):
            email_tokens.may_reset(session, str(crash.value.args[0]))


def test_only_one_run_sends_at_a_time(by_smtp: Resources, mailbox: Mailbox) -> None:
    write(by_smtp.database, a_reader(by_smtp.database), AccountEmailKind.RESET)
    by_smtp.hot.client.set(RUNNING, 1)
    send_due(by_smtp)
    assert mailbox.received == []
    by_smtp.hot.client.delete(RUNNING)
    send_due(by_smtp)
    assert len(mailbox.received) == 1
    assert not by_smtp.hot.client.exists(RUNNING)


def test_a_run_ends_so_that_a_server_that_hangs_keeps_no_worker(
    by_smtp: Resources, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emails, "RUN_S", 0)
    write(by_smtp.database, a_reader(by_smtp.database), AccountEmailKind.RESET)
    send_due(by_smtp)
    assert mailbox.received == []


def test_a_mailbox_cannot_be_flooded_but_hears_of_changes(by_smtp: Resources, mailbox: Mailbox) -> None:
    address, other = a_reader(by_smtp.database), a_reader(by_smtp.database)
    write(
        by_smtp.database,
        address,
        *[AccountEmailKind.RESET, AccountEmailKind.ADDRESS_TAKEN] * account_emails.HOURLY,
    )
    write(by_smtp.database, address, AccountEmailKind.PASSWORD_CHANGED)
    write(by_smtp.database, other, AccountEmailKind.RESET)
    send_due(by_smtp)
    subjects = [message["Subject"] for message in mailbox.received if message["To"] == address]
    assert len(subjects) == account_emails.HOURLY + 1
    assert "Your password was changed" in subjects
    assert [message["To"] for message in mailbox.received].count(other) == 1

    with by_smtp.database.transaction() as session:
        session.execute(text("UPDATE account_emails SET sent_at = sent_at - interval '1 hour'"))
    write(by_smtp.database, address, AccountEmailKind.RESET)
    send_due(by_smtp)
    assert mailbox.received[-1]["To"] == address
    assert len(mailbox.received) == account_emails.HOURLY + 3


@pytest.mark.parametrize(
    "address", ["a@example.org\r\nBcc: b@example.org", "a@example.org\nb: c", "a b@c\r\n.\r\n"]
)
def test_an_address_cannot_inject_a_header(by_smtp: Resources, mailbox: Mailbox, address: str) -> None:
    good = a_reader(by_smtp.database)
    with by_smtp.database.transaction() as session:
        user = session.get_one(User, make_user(session))
        user.email = f"{new_id()}{address}"
        bad = user.email
    write(by_smtp.database, good, AccountEmailKind.RESET)
    with by_smtp.database.transaction() as session:
        session.add(AccountEmail(address=bad, kind=AccountEmailKind.RESET))

    send_due(by_smtp)

    assert [message["To"] for message in mailbox.received] == [good]
    assert stored(by_smtp.database, bad).last_error == "ValueError"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_the_password_is_said_under_tls_only(
    resources: Resources,
    start_server: StartServer,
    mailbox: Mailbox,
    certificate: Certificate,
    security: Any,
) -> None:
    options: dict[str, Any] = {"authenticator": mailbox.authenticate}
    if security == "tls":
        options |= {"tls": certificate.context, "auth_require_tls": False}
    else:
        options |= {"tls_context": certificate.context, "require_starttls": True}
    server = Smtp("localhost", start_server(**options), security, USER, PASSWORD, certificate.certificate)
    assert PASSWORD not in repr(server)
    write(resources.database, a_reader(resources.database), AccountEmailKind.RESET)
    send_due(replace(resources, post=replace(resources.post, transport=server)))
    assert mailbox.logins == [(USER.encode(), PASSWORD.encode())]
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("trusted", [False, True])
def test_a_server_that_cannot_prove_its_name_hears_no_password(
    resources: Resources, start_server: StartServer, mailbox: Mailbox, certificate: Certificate, trusted: bool
) -> None:
    # Once with a certificate of nobody, once of somebody who offers no TLS at all.
    options = {} if trusted else {"tls_context": certificate.context}
    port = start_server(authenticator=mailbox.authenticate, auth_require_tls=False, **options)
    server = Smtp("localhost", port, "starttls", USER, PASSWORD, certificate.certificate if trusted else None)
    address = a_reader(resources.database)
    write(resources.database, address, AccountEmailKind.RESET)
    with capture_logs() as logs:
        send_due(replace(resources, post=replace(resources.post, transport=server)))
    assert mailbox.logins == []
    assert mailbox.received == []
    error = "SMTPNotSupportedError" if trusted else "SSLCertVerificationError"
    assert stored(resources.database, address).last_error == error
    assert PASSWORD not in str(logs)


def test_without_a_server_a_mail_becomes_a_file_that_only_its_owner_can_read(
    resources: Resources, mail_dir: Path
) -> None:
    assert isinstance(resources.post.transport, Folder)
    address = a_reader(resources.database)
    write(resources.database, address, AccountEmailKind.VERIFY)

    send_due(resources)

    [file] = mail_dir.iterdir()
    assert file.suffix == ".eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(mail_dir.stat().st_mode) == 0o700
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["To"] == address
    link = f"https://bid.example/#/verify?token={token_in(message)}"
    assert link in file.read_text(), "it can be copied from the raw text"


def test_old_mails_and_dead_tokens_are_forgotten(resources: Resources, sync_database: SyncDatabase) -> None:
    old, new = a_reader(sync_database), a_reader(sync_database)
    for address in (old, new):
        write(sync_database, address, AccountEmailKind.RESET)
    send_due(resources)
    with sync_database.transaction() as session:
        session.execute(
            text(
                "UPDATE account_emails SET created_at = created_at - interval '30 days' WHERE address = :old"
            ),
            {"old": old},
        )
        session.execute(
            text(
                "UPDATE email_tokens SET expires_at = now()"
                " WHERE user_id = (SELECT id FROM users WHERE email = :old)"
            ),
            {"old": old},
        )

    upkeep.forget_mails(resources)

    left = "SELECT email FROM users JOIN email_tokens ON user_id = users.id WHERE email IN (:old, :new)"
    with sync_database.transaction() as session:
        assert list(session.scalars(select(AccountEmail.address))) == [new]
        assert list(session.scalars(text(left), {"old": old, "new": new})) == [new]
