"""What was sold: the orders of a buyer and of a seller."""

from typing import Literal
from uuid import UUID

import msgspec
from sqlalchemy import Row, Select, or_, select
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.pages import Page, bounded, decode_cursor, page_of
from market.times import to_ms
from store.models import Auction, Order, OrderState

Side = Literal["buyer", "seller"]


class OrderView(msgspec.Struct, frozen=True):
    """A sale as one of its two parties sees it. `hammer_price` in minor units, `created_at` in ms."""

    id: UUID
    auction_id: UUID
    title: str
    hammer_price: int
    state: OrderState
    role: Side
    created_at: int


def page(session: Session, user_id: UUID, side: Side, cursor: str | None, limit: int) -> Page[OrderView]:
    """What the user bought or sold, newest first. Refuses with `invalid_cursor`."""
    party = Order.buyer_id if side == "buyer" else Order.seller_id
    query = _orders().where(party == user_id).order_by(Order.id.desc())
    if cursor is not None:
        query = query.where(Order.id < decode_cursor(cursor, UUID))
    rows = session.execute(query.limit(bounded(limit) + 1))
    return page_of([_view(row, user_id) for row in rows], bounded(limit), lambda order: order.id)


def get(session: Session, user_id: UUID, order_id: UUID) -> OrderView:
    """An order of the user. Refuses with `not_found`, also when it is somebody else's."""
    parties = or_(Order.buyer_id == user_id, Order.seller_id == user_id)
    row = session.execute(_orders().where(Order.id == order_id, parties)).one_or_none()
    if row is None:
        raise Refusal("not_found", "There is no such order.")
    return _view(row, user_id)


def _orders() -> Select[Order, str]:
    return select(Order, Auction.title).join(Auction, Auction.id == Order.auction_id)


def _view(row: Row[Order, str], user_id: UUID) -> OrderView:
    order, title = row
    return OrderView(
        id=order.id,
        auction_id=order.auction_id,
        title=title,
        hammer_price=order.hammer_price,
        state=OrderState(order.state),
        role="buyer" if order.buyer_id == user_id else "seller",
        created_at=to_ms(order.created_at),
    )
