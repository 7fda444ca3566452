"""What was sold, and what becomes of it: a state machine between payment and the end.

`TRANSITIONS` is all of it. Each step is one transaction: the order is locked, the step is noted in `order_events`,
and the money that goes with it moves from the order's escrow, once. Locks are taken in the order auction, order,
users by id, accounts by id. The clock is PostgreSQL's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Literal
from uuid import UUID, uuid5

import msgspec
from sqlalchemy import ColumnElement, Select, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from market import work_queue
from market.errors import GeneralRefusal, Refusal
from market.money import ledger
from market.money.ledger import Posting
from market.notifications import notifications
from market.notifications.notifications import NewNotification, Value
from market.orders import trust
from market.orders.refusals import OrderRefusal
from market.pages import Page, list_page
from market.times import to_ms
from market.work_queue import Due
from store import effects
from store.effects import LogEvent, ToUser
from store.ids import new_id
from store.models import (
    AccountKind,
    Auction,
    ChatMessage,
    DeliveryMethod,
    Event,
    Handover,
    Order,
    OrderEvent,
    OrderState,
    Review,
    TransferKind,
    User,
)
from store.redis.pushes import OrderPush

CONFIRM_WITHIN = timedelta(days=7)
"""From shipping until the order is completed without the buyer."""

Side = Literal["buyer", "seller"]


class OrderParty(StrEnum):
    """Who takes a step."""

    BUYER = "buyer"
    SELLER = "seller"
    CLOCK = "clock"
    MODERATOR = "moderator"


class Action(StrEnum):
    """The steps."""

    AGREE = "agree"
    HAND_OVER = "hand_over"
    REPORT_NO_SHOW = "report_no_show"
    CONTEST = "contest"
    SHIP = "ship"
    CONFIRM = "confirm"
    REPORT_PROBLEM = "report_problem"
    REFUND = "refund"
    TIME_OUT = "time_out"
    DECIDE_FOR_SELLER = "decide_for_seller"
    DECIDE_FOR_BUYER = "decide_for_buyer"


PROPOSE = "propose"
"""What a push names when only the proposal has changed."""

_EVENTS = {PROPOSE: Event.HANDOVER_PROPOSED, Action.AGREE: Event.HANDOVER_AGREED} | {
    action: Event(f"order_{action}") for action in Action if action != Action.AGREE
}


@dataclass(frozen=True, slots=True)
class Transition:
    """`who` may do it, where it leads, and who then gets the escrow."""

    who: frozenset[OrderParty]
    to: OrderState
    pays: OrderParty | None = None


_BUYER, _SELLER, _CLOCK, _MODERATOR = (frozenset({actor}) for actor in OrderParty)
_EITHER = _BUYER | _SELLER

TRANSITIONS: dict[tuple[OrderState, Action], Transition] = {
    (OrderState.IN_ESCROW, Action.AGREE): Transition(_EITHER, OrderState.AGREED),
    (OrderState.IN_ESCROW, Action.SHIP): Transition(_SELLER, OrderState.SHIPPED),
    (OrderState.IN_ESCROW, Action.REFUND): Transition(_SELLER, OrderState.REFUNDED, OrderParty.BUYER),
    (OrderState.IN_ESCROW, Action.TIME_OUT): Transition(_CLOCK, OrderState.CANCELLED, OrderParty.BUYER),
    (OrderState.AGREED, Action.AGREE): Transition(_EITHER, OrderState.AGREED),
    (OrderState.AGREED, Action.HAND_OVER): Transition(_SELLER, OrderState.COMPLETED, OrderParty.SELLER),
    (OrderState.AGREED, Action.REPORT_NO_SHOW): Transition(_EITHER, OrderState.NO_SHOW),
    (OrderState.AGREED, Action.REFUND): Transition(_SELLER, OrderState.REFUNDED, OrderParty.BUYER),
    (OrderState.AGREED, Action.TIME_OUT): Transition(_CLOCK, OrderState.CANCELLED, OrderParty.BUYER),
    (OrderState.NO_SHOW, Action.AGREE): Transition(_EITHER, OrderState.AGREED),
    (OrderState.NO_SHOW, Action.HAND_OVER): Transition(_SELLER, OrderState.COMPLETED, OrderParty.SELLER),
    (OrderState.NO_SHOW, Action.CONTEST): Transition(_EITHER, OrderState.PROBLEM),
    (OrderState.NO_SHOW, Action.REFUND): Transition(_SELLER, OrderState.REFUNDED, OrderParty.BUYER),
    (OrderState.NO_SHOW, Action.TIME_OUT): Transition(_CLOCK, OrderState.CANCELLED, OrderParty.BUYER),
    (OrderState.SHIPPED, Action.CONFIRM): Transition(_BUYER, OrderState.COMPLETED, OrderParty.SELLER),
    (OrderState.SHIPPED, Action.REPORT_PROBLEM): Transition(_BUYER, OrderState.PROBLEM),
    (OrderState.SHIPPED, Action.REFUND): Transition(_SELLER, OrderState.REFUNDED, OrderParty.BUYER),
    (OrderState.SHIPPED, Action.TIME_OUT): Transition(_CLOCK, OrderState.COMPLETED, OrderParty.SELLER),
    (OrderState.PROBLEM, Action.CONFIRM): Transition(_BUYER, OrderState.COMPLETED, OrderParty.SELLER),
    (OrderState.PROBLEM, Action.REFUND): Transition(_SELLER, OrderState.REFUNDED, OrderParty.BUYER),
    (OrderState.PROBLEM, Action.DECIDE_FOR_SELLER): Transition(
        _MODERATOR, OrderState.COMPLETED, OrderParty.SELLER
    ),
    (OrderState.PROBLEM, Action.DECIDE_FOR_BUYER): Transition(
        _MODERATOR, OrderState.REFUNDED, OrderParty.BUYER
    ),
}
"""From a state, by an action. What is not here is refused."""

FINAL = frozenset({OrderState.COMPLETED, OrderState.REFUNDED, OrderState.CANCELLED})


class Meeting(msgspec.Struct, frozen=True):
    """A place and time to hand over, as one party has proposed it. `number` counts an order's, `meet_at` in ms."""

    number: int
    by: Side
    place: str
    meet_at: int


class OrderView(msgspec.Struct, frozen=True):
    """A sale as one of its two parties sees it. `hammer_price` in minor units, times in ms.

    `fee` is what the platform keeps when the seller is paid, and `payout` what the seller gets then; the buyer sees
    neither, and nobody once the money went back. `deliveries` are the ways that the seller offers, `delivery` is the
    one that has begun. `proposal` waits for an answer, `agreement` holds. At `due_at` the order moves on by itself, if
    not null.
    """

    id: UUID
    auction_id: UUID
    title: str
    hammer_price: int
    fee: int | None
    payout: int | None
    state: OrderState
    role: Side
    other_id: UUID
    other_name: str
    deliveries: list[DeliveryMethod]
    delivery: DeliveryMethod | None
    proposal: Meeting | None
    agreement: Meeting | None
    absent: Side | None
    carrier: str | None
    tracking_number: str | None
    problem: str | None
    unread: int
    reviewed: bool
    due_at: int | None
    created_at: int
    finished_at: int | None


def page(session: Session, user_id: UUID, side: Side, cursor: str | None, limit: int) -> Page[OrderView]:
    """What the user bought or sold, newest first. Refuses with `invalid_cursor`."""
    party = Order.buyer_id if side == "buyer" else Order.seller_id
    query = _orders(user_id).where(party == user_id)
    return list_page(session, query, partial(_view, user_id), Order.id, cursor, limit)


def get(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """An order of the user. Refuses with `not_found`, also when it is somebody else's."""
    row = session.execute(_orders(user_id).where(Order.id == order_id, _party(user_id))).one_or_none()
    if row is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return _view(user_id, *row)


def own(session: Session, user_id: UUID, order_id: UUID) -> Order:
    """The row of an order of the user. Refuses with `not_found`."""
    order = session.scalars(select(Order).where(Order.id == order_id, _party(user_id))).one_or_none()
    if order is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return order


def locked(session: Session, user_id: UUID, order_id: UUID) -> Order:
    """`own`, and no other transaction can change it before this one ends."""
    order = locked_for_moderator(session, order_id)
    if user_id not in (order.buyer_id, order.seller_id):
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return order


def locked_for_moderator(session: Session, order_id: UUID) -> Order:
    """The same for a moderator, who is no party of the order. Refuses with `not_found`."""
    order = _lock(session, order_id)
    if order is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return order


def other_of(order: Order, user_id: UUID) -> UUID:
    """The other party."""
    return order.seller_id if user_id == order.buyer_id else order.buyer_id


def side_of(order: Order, user_id: UUID) -> Side:
    """Which side a party is on."""
    return "buyer" if user_id == order.buyer_id else "seller"


def require(order: Order, action: Action, who: OrderParty | Side | None = None) -> None:
    """Refuse with `forbidden` what they may never do, with `wrong_state` what the order's state does not allow."""
    if who is not None and not any(
        who in transition.who for (_, done), transition in TRANSITIONS.items() if done == action
    ):
        raise Refusal(GeneralRefusal.FORBIDDEN)
    if (order.state, action) not in TRANSITIONS:
        raise Refusal(
            GeneralRefusal.WRONG_STATE,
            state=order.state,
        )


def require_offered(session: Session, order: Order, delivery: DeliveryMethod) -> None:
    """Refuse with `delivery_not_offered` a way that the seller of the listing has not offered."""
    offered = session.scalars(select(Auction.deliveries).where(Auction.id == order.auction_id)).one()
    if delivery not in offered:
        raise Refusal(OrderRefusal.DELIVERY_NOT_OFFERED, deliveries=offered)


def move(
    session: Session,
    order: Order,
    action: Action,
    actor_id: UUID | None,
    due_at: ColumnElement[datetime] | datetime | None = None,
) -> None:
    """Take a step with a locked order, by a party, (None) the clock, or somebody else: a moderator, whose role the
    caller has checked. At `due_at` it moves on by itself.

    Refuses as `require` does, or with `balance_too_large`.
    """
    require(order, action, _actor(order, actor_id))
    transition = TRANSITIONS[order.state, action]
    step = OrderEvent(
        id=new_id(),
        order_id=order.id,
        actor_id=actor_id,
        action=action,
        from_state=order.state,
        to_state=transition.to,
    )
    session.add(step)
    order.state = transition.to
    order.due_at = due_at
    if transition.to in FINAL:
        order.finished_at = func.now()
    session.flush()
    if transition.to == OrderState.COMPLETED:
        trust.add(
            session, {user_id: {"completed_orders": 1} for user_id in (order.buyer_id, order.seller_id)}
        )
    elif transition.to == OrderState.CANCELLED and order.absent_id is not None:
        trust.add(session, {order.absent_id: {"no_shows": 1}})
    if transition.pays is not None:
        ledger.post(session, _payment(session, order, transition.pays))
    notify_parties(session, order, action, actor_id, str(step.id))


def _actor(order: Order, user_id: UUID | None) -> OrderParty:
    parties = {None: OrderParty.CLOCK, order.buyer_id: OrderParty.BUYER, order.seller_id: OrderParty.SELLER}
    return parties.get(user_id, OrderParty.MODERATOR)


def notify_parties(session: Session, order: Order, action: str, actor_id: UUID | None, cause: str) -> None:
    """Push to both parties that this was done by one of them, by a moderator or (None) by the clock, and notify those
    who have not done it. `cause` names it among all that has happened."""
    sides = order.buyer_id, order.seller_id
    push = OrderPush(order=order.id, action=action, state=order.state)
    effects.after_commit(session, *(ToUser(user_id, push) for user_id in sides))
    data: dict[str, Value] = {
        "title": session.get_one(Auction, order.auction_id).title,
        "by": None if actor_id is None else _actor(order, actor_id),
        "state": order.state,
    }
    notifications.notify(
        session,
        [
            NewNotification(user_id, _EVENTS[action], cause, data, order.auction_id, order.id)
            for user_id in sides
            if user_id != actor_id
        ],
    )


def ship(session: Session, user_id: UUID, order_id: UUID, carrier: str, tracking_number: str) -> OrderView:
    """The seller has sent the goods.

    Refuses with `not_found`, `forbidden`, `wrong_state` or `delivery_not_offered`.
    """
    order = locked(session, user_id, order_id)
    require(order, Action.SHIP, side_of(order, user_id))
    require_offered(session, order, DeliveryMethod.SHIPPING)
    move(session, order, Action.SHIP, user_id, func.now() + CONFIRM_WITHIN)
    order.delivery, order.carrier, order.tracking_number = DeliveryMethod.SHIPPING, carrier, tracking_number
    order.proposal = None
    return get(session, user_id, order_id)


def confirm(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """The buyer has the goods: the seller gets the money.

    Refuses with `not_found`, `forbidden`, `wrong_state` or `balance_too_large`.
    """
    move(session, locked(session, user_id, order_id), Action.CONFIRM, user_id)
    return get(session, user_id, order_id)


def report_problem(session: Session, user_id: UUID, order_id: UUID, text: str) -> OrderView:
    """The buyer says what is wrong with what was sent. Refuses with `not_found`, `forbidden` or `wrong_state`."""
    order = locked(session, user_id, order_id)
    move(session, order, Action.REPORT_PROBLEM, user_id)
    order.problem = text
    return get(session, user_id, order_id)


def refund(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """The seller gives all the money back.

    Refuses with `not_found`, `forbidden`, `wrong_state` or `balance_too_large`.
    """
    move(session, locked(session, user_id, order_id), Action.REFUND, user_id)
    return get(session, user_id, order_id)


def claim_due(session: Session, after: Due | None) -> Due | None:
    """Lock the order whose time is up, the longest due first behind `after`, that no other worker has locked."""
    return work_queue.claim(session, Order.due_at, Order.id, after, Order.due_at <= func.now())


def time_out(session: Session, order_id: UUID) -> OrderState | None:
    """Do what the end of an order's time means; the state after it. None if it is not due (any more).

    Refuses with `balance_too_large`.
    """
    order = _lock(session, order_id)
    # A statement of its own, so that its clock is read after the wait for the lock.
    if order is None or order.due_at is None:
        return None
    if not session.scalar(select(func.clock_timestamp() >= order.due_at)):
        return None
    move(session, order, Action.TIME_OUT, None)
    fields = {"order": str(order_id), "state": str(order.state)}
    effects.after_commit(session, LogEvent("info", "order_timed_out", fields))
    return order.state


def _lock(session: Session, order_id: UUID) -> Order | None:
    return session.get(Order, order_id, populate_existing=True, with_for_update={"key_share": True})


def _payment(session: Session, order: Order, payee: OrderParty) -> list[Posting]:
    """All of the escrow to one party, less the fee where that is the seller. The ids follow from the order, so that
    asking again is harmless."""
    escrow = ledger.account(session, AccountKind.ESCROW, order.id)
    parts: list[tuple[TransferKind, AccountKind, UUID | None, int]]
    if payee == OrderParty.BUYER:
        parts = [(TransferKind.REFUND, AccountKind.AVAILABLE, order.buyer_id, order.hammer_price)]
    else:
        parts = [
            (TransferKind.PAYOUT, AccountKind.AVAILABLE, order.seller_id, order.hammer_price - order.fee),
            (TransferKind.FEE, AccountKind.FEES, None, order.fee),
        ]
    return [
        Posting(
            uuid5(order.id, kind), kind, escrow, ledger.account(session, to, owner), amount, None, order.id
        )
        for kind, to, owner, amount in parts
        if amount
    ]


def _party(user_id: UUID) -> ColumnElement[bool]:
    return or_(Order.buyer_id == user_id, Order.seller_id == user_id)


def _orders(user_id: UUID) -> Select[Order, str, list[DeliveryMethod], str, Handover, Handover, int, bool]:
    other, proposal, agreement = aliased(User), aliased(Handover), aliased(Handover)
    is_buyer = Order.buyer_id == user_id
    read = case((is_buyer, Order.buyer_read), else_=Order.seller_read)
    unread = (
        select(func.count())
        .where(ChatMessage.order_id == Order.id, ChatMessage.number > read, ChatMessage.sender_id != user_id)
        .scalar_subquery()
    )
    reviewed = select(Review.id).where(Review.order_id == Order.id, Review.author_id == user_id).exists()
    return (
        select(
            Order,
            Auction.title,
            Auction.deliveries,
            other.display_name,
            proposal,
            agreement,
            unread.label("unread"),
            reviewed.label("reviewed"),
        )
        .join(Auction, Auction.id == Order.auction_id)
        .join(other, other.id == case((is_buyer, Order.seller_id), else_=Order.buyer_id))
        .outerjoin(proposal, (proposal.order_id == Order.id) & (proposal.number == Order.proposal))
        .outerjoin(agreement, (agreement.order_id == Order.id) & (agreement.number == Order.agreement))
        .execution_options(populate_existing=True)
    )


def _view(
    user_id: UUID,
    order: Order,
    title: str,
    deliveries: list[DeliveryMethod],
    other_name: str,
    proposal: Handover,
    agreement: Handover,
    unread: int,
    reviewed: bool,
) -> OrderView:
    gets_money = order.seller_id == user_id and order.state not in (OrderState.REFUNDED, OrderState.CANCELLED)
    return OrderView(
        id=order.id,
        auction_id=order.auction_id,
        title=title,
        hammer_price=order.hammer_price,
        fee=order.fee if gets_money else None,
        payout=order.hammer_price - order.fee if gets_money else None,
        state=order.state,
        role=side_of(order, user_id),
        other_id=other_of(order, user_id),
        other_name=other_name,
        deliveries=deliveries,
        delivery=order.delivery,
        proposal=_meeting(order, proposal),
        agreement=_meeting(order, agreement),
        absent=None if order.absent_id is None else side_of(order, order.absent_id),
        carrier=order.carrier,
        tracking_number=order.tracking_number,
        problem=order.problem,
        unread=unread,
        reviewed=reviewed,
        due_at=None if order.due_at is None else to_ms(order.due_at),
        created_at=to_ms(order.created_at),
        finished_at=None if order.finished_at is None else to_ms(order.finished_at),
    )


def _meeting(order: Order, handover: Handover | None) -> Meeting | None:
    if handover is None:
        return None
    return Meeting(
        handover.number, side_of(order, handover.proposer_id), handover.place, to_ms(handover.meet_at)
    )
