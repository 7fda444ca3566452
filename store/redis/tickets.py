"""One-time tickets: what a signed-in user gets by REST and hands in on a live socket.

Redis keeps a hash of the ticket, so that reading Redis gives nobody a way in.
"""

import hashlib
import secrets
from uuid import UUID

import msgspec

from store.redis.hot import Hot

TICKET_TTL_S = 30


class Ticket(msgspec.Struct, frozen=True):
    """Whom a ticket admits, and the session that asked for it."""

    user: UUID
    session: UUID


async def put_ticket(hot: Hot, user_id: UUID, session_id: UUID) -> str:
    """Make a ticket that admits the user once within `TICKET_TTL_S`. Raises `redis.RedisError`."""
    text = secrets.token_urlsafe(32)
    await hot.client.set(_key(text), msgspec.json.encode(Ticket(user_id, session_id)), ex=TICKET_TTL_S)
    return text


async def take_ticket(hot: Hot, text: str) -> Ticket | None:
    """Use up a ticket; None if it is unknown, too old or used. Raises `redis.RedisError`."""
    value = await hot.client.getdel(_key(text))
    return None if value is None else msgspec.json.decode(value, type=Ticket)


def _key(text: str) -> str:
    return f"ticket:{hashlib.sha256(text.encode()).hexdigest()}"
