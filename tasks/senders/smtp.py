"""How an e-mail is sent: by SMTP, or in development as a file that anybody can open."""

import os
import smtplib
import ssl
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import format_datetime, formataddr
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from market.notifications import (
    account_texts,
    deliveries,
    texts,
    unsubscribing,
)
from market.notifications.account_emails import EmailClaim
from store.models import SECURITY

TIMEOUT_S = 10
"""For each step of a conversation with the server."""

NAME = "NeighborBid"


class _Policy(EmailPolicy):
    """Never breaks an address in a header: programs read it."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() == "list-unsubscribe":
            return f"{name}: {value}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


POLICY = _Policy(linesep="\r\n")


class Transport(Protocol):
    """Takes an e-mail away, or raises OSError (smtplib's errors are)."""

    def send(self, message: EmailMessage) -> None: ...


@dataclass(frozen=True, slots=True)
class Smtp:
    """A server. With `starttls` or `tls` nothing is said, above all no password, before its certificate was checked."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    user: str = ""
    password: str = field(default="", repr=False)
    trusted: Path | None = None
    """A file of certificates to trust instead of those of the system."""

    def send(self, message: EmailMessage) -> None:
        """One connection, one e-mail: what goes wrong with one is no other's matter."""
        tls = ssl.create_default_context(cafile=self.trusted)
        connect = partial(smtplib.SMTP_SSL, context=tls) if self.security == "tls" else smtplib.SMTP
        # Left without QUIT: the server has taken the e-mail, and what it answers then must not have it sent again.
        with closing(connect(self.host, self.port, timeout=TIMEOUT_S)) as server:
            if self.security == "starttls":
                server.starttls(context=tls)
            if self.user:
                server.login(self.user, self.password)
            server.send_message(message)
            with suppress(smtplib.SMTPException):
                server.quit()


@dataclass(frozen=True, slots=True)
class Folder:
    """Each e-mail becomes an `.eml` file that only its owner can read."""

    path: Path

    def send(self, message: EmailMessage) -> None:
        """The file is there as a whole or not at all."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = message["Message-ID"].strip("<>").partition("@")[0]
        draft, final = self.path / f".{name}", self.path / f"{name}.eml"
        with ExitStack() as stack:
            stack.callback(draft.unlink, missing_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(message.as_bytes())
            draft.rename(final)


@dataclass(frozen=True, slots=True)
class PostOffice:
    """Writes e-mails from the address `sender`, with links to `url`, and hands them to `transport`."""

    transport: Transport
    sender: str
    url: str
    unsubscribe_key: bytes = field(repr=False)
    """Signs the links that end e-mails."""

    def send(self, claim: EmailClaim) -> None:
        """Raises what the transport raises, and ValueError for what cannot stand in a header."""
        self.transport.send(self.compose(claim))

    def compose(self, claim: EmailClaim) -> EmailMessage:
        """The mail. Each attempt has a Message-ID of its own, since its token is another one."""
        subject = account_texts.subject(claim.kind, claim.language)
        message = self._envelope(claim.address, subject, claim.caused_at, f"{claim.id}.{claim.attempt}")
        text = account_texts.text(claim.kind, claim.language, self.url, claim.token, claim.caused_at)
        message.set_content(text, cte=_encoding(text))
        return message

    def send_notices(self, claim: deliveries.DeliveryClaim) -> None:
        """Send notifications as one e-mail. Raises as `send` does."""
        self.transport.send(self.compose_notices(claim))

    def compose_notices(self, claim: deliveries.DeliveryClaim) -> EmailMessage:
        """The e-mail, as plain text and as HTML. But for security, one click ends such e-mails (RFC 8058): those about
        the events in it."""
        newest, subject = claim.notices[0], texts.subject(claim.notices, claim.locale)
        # Always the same Message-ID: mail programs show once what left twice.
        message = self._envelope(claim.address, subject, claim.at, str(claim.ids[0]))
        link = None
        if newest.event not in SECURITY:
            events = {notice.event for notice in claim.notices}
            token = unsubscribing.make_token(self.unsubscribe_key, claim.user_id, events)
            link = f"{self.url}/#/unsubscribe?token={token}"
            message["List-Unsubscribe"] = f"<{self.url}/api/v1/notifications/unsubscribe?token={token}>"
            message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        text, html = (
            texts.body(template, claim.notices, claim.locale, self.url, link)
            for template in ("notices.txt", "notices.html")
        )
        message.set_content(text, cte=_encoding(text))
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        return message

    def _envelope(self, address: str, subject: str, date: datetime, name: str) -> EmailMessage:
        message = EmailMessage(policy=POLICY)
        message["From"] = formataddr((NAME, self.sender))
        message["To"] = address
        message["Subject"] = subject
        message["Date"] = format_datetime(date)
        message["Message-ID"] = f"<{name}@{self.sender.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        return message


def _encoding(text: str) -> str:
    """A long link stays on one line, so that it can be copied from the raw text."""
    return "7bit" if text.isascii() else "base64"
