"""Pushes to the open sockets of users, wherever these are: a channel of Redis for each user.

A push is a hint and no truth: it may get lost, but the lists of the REST API miss nothing.
The realtime processes pass it on as it is, so a new kind of push needs no change there.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from redis.client import Pipeline

from store.redis.calls import Batch, nothing
from store.redis.records import BidRecord

_PREFIX = "user:"


class Push(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that a user should know now."""


class OrderPush(Push, frozen=True, kw_only=True, tag="order"):
    """An order of the user's has changed: `action` was done, and it is in `state`."""

    order: UUID
    action: str
    state: str


class MessagePush(Push, frozen=True, kw_only=True, tag="message"):
    """Somebody wrote in the chat of an order of the user's; also the user's own message, for the other sockets."""

    order: UUID
    id: UUID
    number: int
    by: str
    text: str
    created_at: int


class OutbidPush(Push, frozen=True, kw_only=True, tag="outbid"):
    """The user has lost the lead of an auction by the bid `seq`, decided at `at` (ms). `your_maximum` is left out by a
    process that does not follow the auction."""

    auction: UUID
    epoch: int
    seq: int
    at: int
    price: int
    next_minimum: int
    your_maximum: int | UnsetType = UNSET


class NotificationPush(Push, frozen=True, kw_only=True, tag="notification"):
    """A notification stands in the user's list. `title` and `body` say it in the user's language, and `path` leads to
    more; `unread` counts those not read yet. `created_at` in ms."""

    id: UUID
    event: str
    title: str
    body: str
    path: str
    auction: UUID | None
    order: UUID | None
    data: dict[str, Any]
    created_at: int
    unread: int


class UnreadPush(Push, frozen=True, kw_only=True, tag="unread"):
    """The user has read notifications, on any device; `unread` counts those not read yet."""

    unread: int


Told = tuple[UUID, Push]
"""Whom to tell what."""


def outbid_by(bid: BidRecord) -> list[Told]:
    """Whom to tell that this bid has taken the lead."""
    if not bid.outbid:
        return []
    push = OutbidPush(
        auction=bid.auction,
        epoch=bid.epoch,
        seq=bid.seq,
        at=bid.at,
        price=bid.price,
        next_minimum=bid.next_minimum,
    )
    return [(UUID(bid.outbid), push)]


def channel_of(user: UUID) -> str:
    """The sharded channel of a user's pushes."""
    return f"{_PREFIX}{user}"


def user_of(channel: str) -> UUID | None:
    """Whose channel it is; None if it is no user's."""
    return UUID(channel.removeprefix(_PREFIX)) if channel.startswith(_PREFIX) else None


def outbid_in(text: bytes) -> OutbidPush | None:
    """The push, if it is one of these; None for any other, also for one that is not known here."""
    if not text.startswith(b'{"type":"outbid"'):
        return None
    return msgspec.json.decode(text, type=OutbidPush)


def publish(told: Sequence[Told]) -> Batch[None]:
    """Push to users, after the commit of what it is about."""

    def ask(pipe: Pipeline) -> None:
        for user, push in told:
            pipe.execute_command("SPUBLISH", channel_of(user), msgspec.json.encode(push))

    return Batch(ask, nothing)
