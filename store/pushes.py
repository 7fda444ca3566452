"""What users are told at once on their open sockets, wherever these are: a channel of Redis for each user.

A push is a hint and no truth: it may get lost, and whoever looks at the lists of the REST API has missed nothing.
The realtime processes pass it on as it is, so a new kind of push needs no change there.
"""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from store.hot import Hot, SyncHot

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


def channel_of(user: UUID) -> str:
    """The sharded channel of a user's pushes."""
    return f"{_PREFIX}{user}"


def user_of(channel: str) -> UUID | None:
    """Whose channel it is; None if it is no user's."""
    return UUID(channel.removeprefix(_PREFIX)) if channel.startswith(_PREFIX) else None


async def publish(hot: Hot, users: Iterable[UUID], push: Push) -> None:
    """Tell the users, after the commit of what it is about. Raises `redis.RedisError`."""
    text = msgspec.json.encode(push)
    pipe = hot.client.pipeline(transaction=False)
    for user in users:
        pipe.execute_command("SPUBLISH", channel_of(user), text)
    await pipe.execute()


def publish_sync(hot: SyncHot, users: Iterable[UUID], push: Push) -> None:
    """`publish` for Celery."""
    text = msgspec.json.encode(push)
    pipe = hot.client.pipeline(transaction=False)
    for user in users:
        pipe.execute_command("SPUBLISH", channel_of(user), text)
    pipe.execute()
