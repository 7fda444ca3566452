"""Pages of long lists: keyset pagination, whose cursors are opaque to clients."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, TypeVarTuple

import msgspec
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from market.errors import GeneralRefusal, Refusal

T = TypeVar("T")
K = TypeVar("K")
Ts = TypeVarTuple("Ts")

MAX_LIMIT = 100
"""Items on one page, whatever was asked for."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list. `next_cursor` asks for the items after them; None at the end."""

    items: list[T]
    next_cursor: str | None


def list_page(
    session: Session,
    query: Select[*Ts],
    view: Callable[[*Ts], T],
    key: InstrumentedAttribute[Any],
    cursor: str | None,
    limit: int,
    *,
    ascending: bool = False,
) -> Page[T]:
    """The page after `cursor` of what `query` finds, each row as `view` shows it. They are sorted by `key`, a column
    that is different in each of them: the greatest first, unless `ascending`.

    Refuses with `invalid_cursor`.
    """
    last = None if cursor is None else (decode_cursor(cursor, key.type.python_type),)
    rows = session.execute(window(query.add_columns(key), [key], last, limit, ascending=ascending))
    shown = [(row[-1], view(*row[:-1])) for row in rows]
    page = page_of(shown, limit, lambda item: item[0])
    return Page([item for _, item in page.items], page.next_cursor)


def window(
    query: Select[*Ts],
    key: Sequence[Any],
    last: Sequence[Any] | None,
    limit: int,
    *,
    ascending: bool = False,
) -> Select[*Ts]:
    """The rows of `query` in the order of `key` that follow the `last` values of it, as many as `page_of` needs.

    For lists whose pages `list_page` cannot make: their key has several columns, or rows are joined to the window.
    """
    if last is not None:
        here, there = tuple_(*key), tuple(last)
        query = query.where(here > there if ascending else here < there)
    order = key if ascending else [column.desc() for column in key]
    return query.order_by(*order).limit(bounded(limit) + 1)


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
    shown = list(items[: bounded(limit)])
    if len(items) == len(shown):
        return Page(shown, None)
    return Page(shown, urlsafe_b64encode(msgspec.json.encode(key(shown[-1]))).decode())
