"""One-time tickets: what a signed-in user gets by REST and hands in on a live socket.

Redis keeps a hash of the ticket, so that reading Redis gives nobody a way in.
"""

import hashlib
import secrets
from typing import Any
from uuid import UUID

import msgspec

from store.redis.calls import Batch

TICKET_TTL_S = 30


class Ticket(msgspec.Struct, frozen=True):
    """Whom a ticket admits, and the session that asked for it."""

    user: UUID
    session: UUID


def put_ticket(user_id: UUID, session_id: UUID) -> Batch[str]:
    """Make a ticket that admits the user once within `TICKET_TTL_S`. Its text."""
    text = secrets.token_urlsafe(32)
    ticket = msgspec.json.encode(Ticket(user_id, session_id))
    return Batch(lambda pipe: pipe.set(_key(text), ticket, ex=TICKET_TTL_S), lambda _replies: text)


def take_ticket(text: str) -> Batch[Ticket | None]:
    """Use up a ticket; None if it is unknown, too old or used."""

    def parse(replies: list[Any]) -> Ticket | None:
        [value] = replies
        return None if value is None else msgspec.json.decode(value, type=Ticket)

    return Batch(lambda pipe: pipe.getdel(_key(text)), parse)


def _key(text: str) -> str:
    return f"ticket:{hashlib.sha256(text.encode()).hexdigest()}"
