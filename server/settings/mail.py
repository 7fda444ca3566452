"""How e-mails are sent."""

import re
from dataclasses import dataclass, field
from typing import Self

from server.settings.reader import Reader

ADDRESS = r"[!-?A-~]{1,64}@[A-Za-z0-9.-]+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """The server that accepts e-mails, and their sender."""

    smtp_url: str | None = field(repr=False)
    """None: e-mails become files in `Settings.mail_dir`."""
    sender: str

    @classmethod
    def read(cls, read: Reader) -> Self:
        read.require_in_production("NEIGHBORBID_SMTP_URL", "NEIGHBORBID_MAIL_FROM")
        sender = read.text("NEIGHBORBID_MAIL_FROM", "neighborbid@localhost")
        if not re.fullmatch(ADDRESS, sender):
            read.problems.append(f"NEIGHBORBID_MAIL_FROM must be an e-mail address, not {sender!r}.")
        return cls(smtp_url=read.service_url("NEIGHBORBID_SMTP_URL", ("smtp", "smtps")), sender=sender)
