"""Handing over: the two agree where and when, and at the meeting the buyer's code pays the seller.

The code is made from the order, the number of the agreement and a key that only the REST processes have; there are
several while the key is exchanged. It is stored nowhere: who reads the database can complete no order, and a new
agreement has a new code. Each try is counted in a transaction of its own before it is looked at, so tries at the same
moment are counted, too.
"""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.orders import orders
from market.orders.orders import Action, OrderView
from market.orders.refusals import OrderRefusal
from market.times import clock, from_ms, to_ms
from store.models import DeliveryMethod, Handover, Order

MEET_WITHIN = timedelta(days=30)
REPORT_AFTER = timedelta(days=3)
"""From the agreed time until a party may say that the other did not come."""
KEPT_FOR = timedelta(days=14)
"""From the agreed time until the order is cancelled, if nobody says anything."""
CONTEST_WITHIN = timedelta(days=3)

TRIES_AT_ONCE = 5
LOCKED_FOR = timedelta(hours=1)
"""After so many wrong codes none is looked at for so long."""
MAX_TRIES = 20
"""Of the codes of one agreement: guessing the right one then succeeds once in 50,000 times."""


def propose(session: Session, user_id: UUID, order_id: UUID, place: str, meet_at: int) -> OrderView:
    """Propose to meet at `place` at `meet_at` (ms), instead of whatever was proposed before. What is agreed holds until
    the other party accepts.

    Refuses with `not_found`, `wrong_state`, `delivery_not_offered` or `invalid_time` (not within `MEET_WITHIN` from
    now).
    """
    order = orders.locked(session, user_id, order_id)
    orders.require(order, Action.AGREE)
    orders.require_offered(session, order, DeliveryMethod.HANDOVER)
    now = clock(session)
    latest = to_ms(now + MEET_WITHIN)
    if not to_ms(now) < meet_at <= latest:
        raise Refusal(
            GeneralRefusal.INVALID_TIME,
            f"Choose a time within {MEET_WITHIN.days} days from now.",
            latest=latest,
        )
    last = session.scalar(select(func.max(Handover.number)).where(Handover.order_id == order_id))
    order.proposal = (last or 0) + 1
    session.add(
        Handover(
            order_id=order_id,
            number=order.proposal,
            proposer_id=user_id,
            place=place,
            meet_at=from_ms(meet_at),
        )
    )
    session.flush()
    orders.notify_parties(session, order, orders.PROPOSE, user_id, f"{order_id}:{order.proposal}")
    return orders.get(session, user_id, order_id)


def accept(session: Session, user_id: UUID, order_id: UUID, number: int) -> OrderView:
    """Agree to the other party's proposal of this `number`.

    Refuses with `not_found`, `wrong_state`, `stale_proposal` (another stands now, or its time has passed) or
    `own_proposal`.
    """
    order = orders.locked(session, user_id, order_id)
    orders.require(order, Action.AGREE)
    handover = session.get(Handover, (order_id, number)) if order.proposal == number else None
    if handover is None or handover.meet_at <= clock(session):
        raise Refusal(OrderRefusal.STALE_PROPOSAL)
    if handover.proposer_id == user_id:
        raise Refusal(GeneralRefusal.OWN_PROPOSAL)
    order.proposal, order.agreement, order.delivery = None, number, DeliveryMethod.HANDOVER
    order.code_tries, order.code_tried_at, order.absent_id = 0, None, None
    orders.move(session, order, Action.AGREE, user_id, handover.meet_at + KEPT_FOR)
    return orders.get(session, user_id, order_id)


def code(session: Session, user_id: UUID, order_id: UUID, keys: Sequence[bytes]) -> str:
    """The code that the buyer shows at the meeting, made with the first of `keys`.

    Refuses with `not_found`, `forbidden` or `wrong_state`.
    """
    order = orders.own(session, user_id, order_id)
    if user_id != order.buyer_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only the buyer has the code.")
    orders.require(order, Action.HAND_OVER)
    return _code(order, keys[0])


def count_try(session: Session, user_id: UUID, order_id: UUID) -> None:
    """Count a try, before `complete` looks at its code; nothing happens where no code is wanted.

    Refuses with `not_found`, `code_locked` or `too_many_tries` (for this agreement).
    """
    order = orders.locked(session, user_id, order_id)
    if user_id != order.seller_id or (order.state, Action.HAND_OVER) not in orders.TRANSITIONS:
        return
    if order.code_tries >= MAX_TRIES:
        raise Refusal(OrderRefusal.TOO_MANY_TRIES)
    now = clock(session)
    if order.code_tried_at is not None and order.code_tries % TRIES_AT_ONCE == 0:
        until = order.code_tried_at + LOCKED_FOR
        if now < until:
            raise Refusal(OrderRefusal.CODE_LOCKED, until=to_ms(until))
    order.code_tries += 1
    order.code_tried_at = now


def complete(session: Session, user_id: UUID, order_id: UUID, code: str, keys: Sequence[bytes]) -> OrderView:
    """The seller enters the buyer's code, made with one of `keys`: the goods have changed hands, and the seller
    gets the money.

    Refuses with `not_found`, `forbidden`, `wrong_state`, `wrong_code` or `balance_too_large`.
    """
    order = orders.locked(session, user_id, order_id)
    orders.require(order, Action.HAND_OVER, orders.side_of(order, user_id))
    if not any(hmac.compare_digest(code, _code(order, key)) for key in keys):
        raise Refusal(OrderRefusal.WRONG_CODE)
    orders.move(session, order, Action.HAND_OVER, user_id)
    return orders.get(session, user_id, order_id)


def report_no_show(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """Say that the other party did not come.

    Refuses with `not_found`, `wrong_state` or `too_early` (before `REPORT_AFTER` from the agreed time).
    """
    order = orders.locked(session, user_id, order_id)
    orders.require(order, Action.REPORT_NO_SHOW)
    agreed = session.get_one(Handover, (order_id, order.agreement))
    earliest = agreed.meet_at + REPORT_AFTER
    if clock(session) < earliest:
        raise Refusal(OrderRefusal.TOO_EARLY, earliest=to_ms(earliest))
    order.absent_id = orders.other_of(order, user_id)
    orders.move(session, order, Action.REPORT_NO_SHOW, user_id, func.now() + CONTEST_WITHIN)
    return orders.get(session, user_id, order_id)


def contest(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """The party reported as absent denies it. Refuses with `not_found`, `wrong_state` or `forbidden`."""
    order = orders.locked(session, user_id, order_id)
    orders.require(order, Action.CONTEST)
    if order.absent_id != user_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only the other party to the order can do this.")
    orders.move(session, order, Action.CONTEST, user_id)
    return orders.get(session, user_id, order_id)


def _code(order: Order, key: bytes) -> str:
    digest = hmac.digest(key, f"handover {order.id} {order.agreement}".encode(), sha256)
    return f"{int.from_bytes(digest[:8]) % 1_000_000:06}"
