"""Unsubscribing from e-mails by a link in one of them, which needs no log-in (RFC 8058).

A link is good for ever and can do nothing else: it names a user and events, under a signature (HMAC-SHA256).
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from store.models import Channel, Event, NotificationPreferences, User


def make_token(key: bytes, user_id: UUID, events: Collection[Event]) -> str:
    """What ends a user's e-mails about these events."""
    named = ".".join([user_id.hex, *sorted(events)])
    return f"{named}.{_signature(key, named)}"


def read_token(key: bytes, token: str) -> tuple[UUID, list[Event]]:
    """Whose and which e-mails a token ends. Refuses with `invalid_token`."""
    named, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(key, named).encode()):
        raise Refusal(GeneralRefusal.INVALID_TOKEN)
    user, *names = named.split(".")
    # An old link may name what there is no more.
    return UUID(user), [event for event in Event if event in names]


def _signature(key: bytes, named: str) -> str:
    digest = hmac.digest(key, b"unsubscribe " + named.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def unsubscribe(session: Session, user_id: UUID, events: Collection[Event]) -> None:
    """Send the user no e-mail about the events any more. Again changes nothing. Refuses with `invalid_token` when the
    account is deleted."""
    kept = select(User.id).where(User.id == user_id, User.deleted_at.is_(None))
    if session.scalar(kept.with_for_update(read=True, key_share=True)) is None:
        raise Refusal(GeneralRefusal.INVALID_TOKEN, "This account has been deleted.")
    session.execute(insert(NotificationPreferences).values(user_id=user_id).on_conflict_do_nothing())
    preferences = session.get_one(NotificationPreferences, user_id, with_for_update={"key_share": True})
    channels = {name: dict(wanted) for name, wanted in preferences.channels.items()}
    for event in events:
        channels.setdefault(event, {})[Channel.EMAIL] = False
    preferences.channels = channels
    session.flush()
