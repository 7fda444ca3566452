"""Orders whose two parties do not agree, as moderators see and decide them."""

from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import Select, select
from sqlalchemy.orm import Session, aliased

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.orders import orders
from market.orders.orders import Action
from market.pages import Page, list_page
from market.times import to_ms
from store.models import Auction, ChatMessage, DeliveryMethod, Order, OrderEvent, OrderState, User

Outcome = Literal["complete", "refund"]

ACTIONS: dict[Outcome, Action] = {
    "complete": Action.DECIDE_FOR_SELLER,
    "refund": Action.DECIDE_FOR_BUYER,
}


MESSAGES = 200
"""How many messages of the chat a case shows."""


class Dispute(msgspec.Struct, frozen=True):
    """An order that waits for a moderator, or got one's decision. `hammer_price` in minor units, times in ms."""

    id: UUID
    auction_id: UUID
    title: str
    hammer_price: int
    state: OrderState
    buyer_id: UUID
    buyer_name: str
    seller_id: UUID
    seller_name: str
    delivery: DeliveryMethod | None
    absent_id: UUID | None
    carrier: str | None
    tracking_number: str | None
    problem: str | None
    created_at: int
    finished_at: int | None


class DisputeEvent(msgspec.Struct, frozen=True):
    """A step of the order, `at` (ms). Without an `actor_id` it was the clock."""

    actor_id: UUID | None
    action: str
    from_state: str
    to_state: str
    at: int


class DisputeMessage(msgspec.Struct, frozen=True):
    """A message between the parties, `created_at` in ms."""

    id: UUID
    sender_id: UUID
    text: str
    created_at: int


class DisputeFile(msgspec.Struct, frozen=True):
    """The basis of a decision: all steps, and the latest messages, both in their order."""

    dispute: Dispute
    events: list[DisputeEvent]
    messages: list[DisputeMessage]


def page(session: Session, cursor: str | None, limit: int) -> Page[Dispute]:
    """The orders that wait for a decision, the oldest first. Refuses with `invalid_cursor`."""
    query = _disputes().where(Order.state == OrderState.PROBLEM)
    return list_page(session, query, _view, Order.id, cursor, limit, ascending=True)


def read(session: Session, actor: Actor, order_id: UUID) -> DisputeFile:
    """An order that is or was a case, with its chat. That the actor has read it is noted, each time.

    Refuses with `not_found`, also for all other orders, whose chats are nobody's business.
    """
    events = session.scalars(
        select(OrderEvent).where(OrderEvent.order_id == order_id).order_by(OrderEvent.at)
    ).all()
    if all(event.to_state != OrderState.PROBLEM for event in events):
        raise Refusal(GeneralRefusal.NOT_FOUND)
    latest = (
        select(ChatMessage)
        .where(ChatMessage.order_id == order_id)
        .order_by(ChatMessage.number.desc())
        .limit(MESSAGES)
    )
    audit.record(session, actor, "read_chat", Subject("order", order_id), reason="")
    return DisputeFile(
        _view(*session.execute(_disputes().where(Order.id == order_id)).one()),
        [
            DisputeEvent(event.actor_id, event.action, event.from_state, event.to_state, to_ms(event.at))
            for event in events
        ],
        [
            DisputeMessage(message.id, message.sender_id, message.text, to_ms(message.created_at))
            for message in reversed(session.scalars(latest).all())
        ],
    )


def resolve(session: Session, actor: Actor, order_id: UUID, outcome: Outcome, reason: str) -> Dispute:
    """Give the escrow to the seller (`complete`) or back to the buyer (`refund`).

    Refuses with `not_found`, `forbidden` (the moderator is a party to the order), `wrong_state` or `balance_too_large`.
    """
    order = orders.locked_for_moderator(session, order_id)
    before = {"state": order.state}
    orders.move(session, order, ACTIONS[outcome], actor.user_id)
    after = {"state": order.state}
    audit.record(session, actor, "resolve", Subject("order", order_id), reason, before, after)
    return _view(*session.execute(_disputes().where(Order.id == order_id)).one())


def _disputes() -> Select[Order, str, str, str]:
    buyer, seller = aliased(User), aliased(User)
    return (
        select(Order, Auction.title, buyer.display_name, seller.display_name)
        .join(Auction, Auction.id == Order.auction_id)
        .join(buyer, buyer.id == Order.buyer_id)
        .join(seller, seller.id == Order.seller_id)
        .execution_options(populate_existing=True)
    )


def _view(order: Order, title: str, buyer_name: str, seller_name: str) -> Dispute:
    return Dispute(
        id=order.id,
        auction_id=order.auction_id,
        title=title,
        hammer_price=order.hammer_price,
        state=order.state,
        buyer_id=order.buyer_id,
        buyer_name=buyer_name,
        seller_id=order.seller_id,
        seller_name=seller_name,
        delivery=order.delivery,
        absent_id=order.absent_id,
        carrier=order.carrier,
        tracking_number=order.tracking_number,
        problem=order.problem,
        created_at=to_ms(order.created_at),
        finished_at=None if order.finished_at is None else to_ms(order.finished_at),
    )
