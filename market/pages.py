"""Pages of long lists: keyset pagination, whose cursors are opaque to clients."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from market.errors import GeneralRefusal, Refusal

T = TypeVar("T")
K = TypeVar("K")

MAX_LIMIT = 100
"""Items on one page, whatever was asked for."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list. `next_cursor` asks for the items after them; None at the end."""

    items: list[T]
    next_cursor: str | None


def bounded(limit: int) -> int:
    """`limit` brought into 1..MAX_LIMIT."""
    return max(1, min(limit, MAX_LIMIT))


def decode_cursor(cursor: str, key: type[K]) -> K:
    """The key in `cursor`, where the page before ended. Refuses what `page_of` has not made."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor), type=key)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Refusal(GeneralRefusal.INVALID_CURSOR) from error


def page_of(items: Sequence[T], limit: int, key: Callable[[T], Any]) -> Page[T]:
    """The page that `items` make: up to `limit` of them, fetched with one more to know whether the list goes on."""
    shown = list(items[:limit])
    if len(items) <= limit:
        return Page(shown, None)
    return Page(shown, urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode())
