"""How a mail leaves the house: by SMTP, or in development as a file that anybody can open."""

import os
import smtplib
import ssl
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, formataddr
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from market import letters
from market.mails import Claim

TIMEOUT_S = 10
"""For each step of a conversation with the server."""

NAME = "NeighborBid"


class Transport(Protocol):
    """Takes a mail away, or raises OSError (smtplib's errors are)."""

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
        """One connection, one mail: what goes wrong with one is no other's matter."""
        tls = ssl.create_default_context(cafile=self.trusted)
        connect = partial(smtplib.SMTP_SSL, context=tls) if self.security == "tls" else smtplib.SMTP
        with connect(self.host, self.port, timeout=TIMEOUT_S) as server:
            if self.security == "starttls":
                server.starttls(context=tls)
            if self.user:
                server.login(self.user, self.password)
            server.send_message(message)


@dataclass(frozen=True, slots=True)
class Folder:
    """Each mail becomes an `.eml` file that only its owner can read."""

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
    """Writes mails from the address `sender`, with links to `url`, and hands them to `transport`."""

    transport: Transport
    sender: str
    url: str
    unsubscribe_key: bytes = field(repr=False)
    """Signs the links that end e-mails."""

    def send(self, claim: Claim) -> None:
        """Raises what the transport raises, and ValueError for what cannot stand in a header."""
        self.transport.send(self.compose(claim))

    def compose(self, claim: Claim) -> EmailMessage:
        """The mail. Each attempt has a Message-ID of its own, since its token is another one."""
        message = EmailMessage(policy=SMTP_POLICY)
        message["From"] = formataddr((NAME, self.sender))
        message["To"] = claim.address
        message["Subject"] = letters.subject(claim.kind, claim.language)
        message["Date"] = format_datetime(claim.caused_at)
        message["Message-ID"] = f"<{claim.id}.{claim.attempt}@{self.sender.partition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        text = letters.text(claim.kind, claim.language, self.url, claim.token, claim.caused_at)
        # A long link stays on one line, so that it can be copied from the raw text.
        message.set_content(text, cte="7bit" if text.isascii() else "base64")
        return message
