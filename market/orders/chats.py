"""What the two parties of an order write to each other. Only they can read it."""

from functools import partial
from uuid import UUID

import msgspec
from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from market.accounts import accounts, blocks
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.orders import orders
from market.orders.orders import Side
from market.pages import Page, list_page
from market.times import to_ms
from store import effects
from store.effects import ToUser
from store.ids import new_id
from store.models import Auction, ChatMessage, Event, Order
from store.redis.pushes import MessagePush

MAX_TEXT = 2_000
"""Characters of a message."""


class MessageView(msgspec.Struct, frozen=True):
    """A message. `number` counts an order's from 1 without gaps, `created_at` in ms. The text of one that is `hidden`
    by moderators is empty."""

    id: UUID
    number: int
    by: Side
    text: str
    created_at: int
    hidden: bool


class ReadMarker(msgspec.Struct, frozen=True):
    """The number up to which a party has read the messages of an order."""

    number: int


def send(session: Session, user_id: UUID, order_id: UUID, text: str) -> MessageView:
    """Write to the other party, who is notified of the first message after those that were read. Refuses with
    `not_found` or `blocked`."""
    # A deletion notes all messages of its user.
    accounts.keep(session, user_id)
    order = orders.locked(session, user_id, order_id)
    other = orders.other_of(order, user_id)
    blocks.check(session, other, user_id)
    order.messages += 1
    message = ChatMessage(id=new_id(), order_id=order_id, number=order.messages, sender_id=user_id, text=text)
    session.add(message)
    session.flush()
    session.refresh(message)
    view = _view(order, message)
    push = MessagePush(
        order=order_id,
        id=view.id,
        number=view.number,
        by=view.by,
        text=view.text,
        created_at=view.created_at,
    )
    effects.after_commit(session, *(ToUser(party, push) for party in (order.buyer_id, order.seller_id)))
    read = order.buyer_read if other == order.buyer_id else order.seller_read
    title = session.get_one(Auction, order.auction_id).title
    new = NewNotification(
        other, Event.MESSAGE, f"{order_id}:{read}", {"title": title}, order.auction_id, order_id
    )
    notifications.notify(session, [new])
    return view


def page(
    session: Session, user_id: UUID, order_id: UUID, cursor: str | None, limit: int
) -> Page[MessageView]:
    """The messages of an order, newest first. Refuses with `not_found` or `invalid_cursor`."""
    order = orders.own(session, user_id, order_id)
    query = select(ChatMessage).where(ChatMessage.order_id == order_id)
    return list_page(session, query, partial(_view, order), ChatMessage.number, cursor, limit)


def read(session: Session, user_id: UUID, order_id: UUID, number: int) -> ReadMarker:
    """Note that the user has read the messages up to `number`; where that is in the end. Having read all marks
    their notifications as read, too. Refuses with `not_found`."""
    order = orders.locked(session, user_id, order_id)
    number = min(number, order.messages)
    if user_id == order.buyer_id:
        order.buyer_read = number = max(number, order.buyer_read)
    else:
        order.seller_read = number = max(number, order.seller_read)
    if number == order.messages:
        notifications.read_about(session, user_id, Event.MESSAGE, order_id)
    return ReadMarker(number)


def _view(order: Order, message: ChatMessage) -> MessageView:
    return MessageView(
        message.id,
        message.number,
        orders.side_of(order, message.sender_id),
        message.text if message.hidden_at is None else "",
        to_ms(message.created_at),
        message.hidden_at is not None,
    )


def forget_user(session: Session, user_id: UUID) -> None:
    """Note that what a user has written is to be emptied in time (`account_deletion.forget_messages`)."""
    own = select(Order.id).where(or_(Order.buyer_id == user_id, Order.seller_id == user_id))
    session.execute(
        update(ChatMessage)
        .where(ChatMessage.order_id.in_(own), ChatMessage.sender_id == user_id)
        .values(sender_gone=True),
        execution_options={"synchronize_session": False},
    )
