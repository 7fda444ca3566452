"""The chat of an order."""

from functools import partial
from uuid import UUID

from sqlalchemy import select

from market.accounts import blocks
from market.orders import chats, orders
from market.orders.chats import MessageView
from store.models import Event, Notification
from tests.support.factories import make_user
from tests.support.races import at_once
from tests.support.trade import Trade


def test_both_sides_read_what_they_wrote_newest_first(trade: Trade) -> None:
    first = trade.do(chats.send, trade.buyer, trade.order_id, "Hello.")
    second = trade.do(chats.send, trade.seller, trade.order_id, "안녕하세요.")
    third = trade.do(chats.send, trade.buyer, trade.order_id, "When?")
    assert [(m.number, m.by, m.text) for m in (first, second, third)] == [
        (1, "buyer", "Hello."),
        (2, "seller", "안녕하세요."),
        (3, "buyer", "When?"),
    ]
    for user in (trade.buyer, trade.seller):
        page = trade.do(chats.page, user, trade.order_id, None, 2)
        rest = trade.do(chats.page, user, trade.order_id, page.next_cursor, 2)
        assert [*page.items, *rest.items] == [third, second, first]
        assert rest.next_cursor is None


def test_nobody_else_writes_or_reads(trade: Trade) -> None:
    with trade.database.transaction() as session:
        stranger = make_user(session)
    trade.do(chats.send, trade.buyer, trade.order_id, "Hello.")
    assert trade.refused(chats.send, stranger, trade.order_id, "Hello.") == "not_found"
    assert trade.refused(chats.page, stranger, trade.order_id, None, 2) == "not_found"
    assert trade.refused(chats.read, stranger, trade.order_id, 1) == "not_found"
    assert trade.refused(chats.page, trade.buyer, trade.order_id, "no cursor", 2) == "invalid_cursor"


def test_unread_are_the_others_messages_after_the_marker(trade: Trade) -> None:
    for text in ("One", "Two", "Three"):
        trade.do(chats.send, trade.seller, trade.order_id, text)
    trade.do(chats.send, trade.buyer, trade.order_id, "Four")

    def unread() -> list[int]:
        return [trade.do(orders.get, user, trade.order_id).unread for user in (trade.buyer, trade.seller)]

    assert unread() == [3, 1]
    assert trade.do(chats.read, trade.buyer, trade.order_id, 2).number == 2
    assert unread() == [1, 1]
    assert trade.do(chats.read, trade.buyer, trade.order_id, 1).number == 2
    assert trade.do(chats.read, trade.buyer, trade.order_id, 900).number == 4
    assert trade.do(chats.read, trade.seller, trade.order_id, 4).number == 4
    assert unread() == [0, 0]


def test_the_other_side_is_notified_of_the_first_message_that_is_not_read(trade: Trade) -> None:
    def told(user: UUID) -> list[bool]:
        """Of each notification about messages, whether it is read."""
        with trade.database.transaction() as session:
            query = select(Notification.read_at).order_by(Notification.id)
            rows = session.scalars(
                query.where(Notification.user_id == user, Notification.event == Event.MESSAGE)
            )
            return [read_at is not None for read_at in rows]

    def say(*texts: str) -> None:
        for text in texts:
            trade.do(chats.send, trade.seller, trade.order_id, text)

    say("One", "Two")
    assert (told(trade.buyer), told(trade.seller)) == ([False], [])
    trade.do(chats.read, trade.buyer, trade.order_id, 1)
    assert told(trade.buyer) == [False], "there is another one"
    trade.do(chats.read, trade.buyer, trade.order_id, 2)
    assert told(trade.buyer) == [True]
    say("Three", "Four")
    assert told(trade.buyer) == [True, False]


def test_a_blocked_user_cannot_write(trade: Trade) -> None:
    trade.do(blocks.put, trade.seller, trade.buyer)
    assert trade.refused(chats.send, trade.buyer, trade.order_id, "Hello.") == "blocked"
    assert trade.do(chats.send, trade.seller, trade.order_id, "Goodbye.").number == 1
    trade.do(blocks.remove, trade.seller, trade.buyer)
    assert trade.do(chats.send, trade.buyer, trade.order_id, "Hello.").number == 2


def test_messages_at_once_have_numbers_without_gaps(trade: Trade) -> None:
    calls = [
        partial(trade.do, chats.send, user, trade.order_id, f"{number}")
        for number in range(4)
        for user in (trade.buyer, trade.seller)
    ]
    sent = at_once(calls)
    numbers = [message.number for message in sent if isinstance(message, MessageView)]
    assert sorted(numbers) == list(range(1, 9))
