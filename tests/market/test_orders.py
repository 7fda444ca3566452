"""Orders as their two parties see them."""

from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from market import orders
from market.errors import Refusal
from store.ids import new_id
from store.models import Order, OrderState
from tests.database import make_published_auction, make_user


def make_order(session: Session, seller: UUID, buyer: UUID) -> UUID:
    auction = make_published_auction(session, seller, title="A lamp")
    order_id = new_id()
    session.add(
        Order(
            id=order_id,
            auction_id=auction.id,
            seller_id=seller,
            buyer_id=buyer,
            hammer_price=1_500,
            state=OrderState.IN_ESCROW,
        )
    )
    session.flush()
    return order_id


def test_buyer_and_seller_see_the_order_and_nobody_else(db_session: Session) -> None:
    seller, buyer = make_user(db_session), make_user(db_session)
    order_id = make_order(db_session, seller, buyer)
    seen = orders.get(db_session, buyer, order_id)
    assert (seen.id, seen.title, seen.hammer_price) == (order_id, "A lamp", 1_500)
    assert (seen.state, seen.role) == (OrderState.IN_ESCROW, "buyer")
    assert orders.get(db_session, seller, order_id).role == "seller"
    with pytest.raises(Refusal, match="not_found"):
        orders.get(db_session, make_user(db_session), order_id)
    with pytest.raises(Refusal, match="not_found"):
        orders.get(db_session, buyer, new_id())


def test_each_side_pages_through_its_own_orders_newest_first(db_session: Session) -> None:
    one, other = make_user(db_session), make_user(db_session)
    bought = [make_order(db_session, other, one) for _ in range(3)]
    sold = make_order(db_session, one, other)

    first = orders.page(db_session, one, "buyer", None, 2)
    rest = orders.page(db_session, one, "buyer", first.next_cursor, 2)
    assert [order.id for order in first.items + rest.items] == bought[::-1]
    assert rest.next_cursor is None
    assert {order.role for order in first.items} == {"buyer"}
    [only] = orders.page(db_session, one, "seller", None, 2).items
    assert (only.id, only.role) == (sold, "seller")


def test_a_forged_cursor_is_refused(db_session: Session) -> None:
    with pytest.raises(Refusal, match="invalid_cursor"):
        orders.page(db_session, make_user(db_session), "buyer", "no cursor", 2)
