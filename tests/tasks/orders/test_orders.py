"""Time moves orders on and makes reviews count."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from market.orders import orders, reviews
from market.orders.orders import OrderView
from store.database import SyncDatabase
from store.models import Order, User
from store.redis.clients import SyncHot
from tasks.app import Resources
from tasks.orders.orders import count_reviews, time_out_orders
from tests.support.factories import make_order
from tests.support.ports import CLOSED_PORT


def make(resources: Resources, shipped: bool = False) -> Order:
    with resources.database.transaction() as session:
        order = make_order(session)
        if shipped:
            orders.ship(session, order.seller_id, order.id, "A carrier", "1")
        return order


def pass_a_week(resources: Resources, order: Order) -> None:
    with resources.database.transaction() as session:
        session.execute(
            text("UPDATE orders SET due_at = due_at - interval '7 days' WHERE id = :id"), {"id": order.id}
        )


def view(resources: Resources, order: Order) -> OrderView:
    with resources.database.transaction() as session:
        return orders.get(session, order.buyer_id, order.id)


def test_what_is_due_moves_on_and_the_rest_waits(resources: Resources) -> None:
    late, shipped, fresh = make(resources), make(resources, shipped=True), make(resources)
    pass_a_week(resources, late)
    pass_a_week(resources, shipped)
    for _ in range(2):
        time_out_orders(resources)
        states = [view(resources, order).state for order in (late, shipped, fresh)]
        assert states == ["cancelled", "completed", "in_escrow"]


def test_one_that_fails_keeps_no_other_from_it(resources: Resources) -> None:
    with resources.database.transaction() as session:
        broken = make_order(session)
        # More than there is in its escrow: a fault that must not stop the rest.
        session.execute(text("UPDATE orders SET hammer_price = 9999 WHERE id = :id"), {"id": broken.id})
    fine = make(resources)
    pass_a_week(resources, broken)
    pass_a_week(resources, fine)
    time_out_orders(resources)
    assert view(resources, broken).state == "in_escrow"
    assert view(resources, fine).state == "cancelled"


def test_without_redis_orders_move_on_unannounced(resources: Resources, database_url: str) -> None:
    order = make(resources)
    pass_a_week(resources, order)
    nowhere = SyncHot.connect(f"redis://127.0.0.1:{CLOSED_PORT}")
    database = SyncDatabase(database_url, nowhere)
    time_out_orders(replace(resources, database=database))
    database.dispose()
    assert view(resources, order).state == "cancelled"


def test_both_sides_are_pushed_what_the_clock_did(resources: Resources) -> None:
    order = make(resources)
    pass_a_week(resources, order)
    heard = resources.hot.client.pubsub()
    channels = [f"user:{user}" for user in (order.buyer_id, order.seller_id)]
    heard.ssubscribe(*channels)
    time_out_orders(resources)
    wanted = {channel.encode() for channel in channels}
    while wanted:
        message = heard.get_sharded_message(timeout=10)
        assert message is not None, wanted
        if message["type"] == "smessage":
            assert f'"order":"{order.id}","action":"time_out"'.encode() in message["data"]
            assert b'"state":"cancelled"' in message["data"]
            wanted.discard(message["channel"])
    heard.close()


@pytest.mark.parametrize("days", [29, 30])
def test_reviews_count_when_their_time_is_over(resources: Resources, days: int) -> None:
    order = make(resources, shipped=True)
    with resources.database.transaction() as session:
        orders.confirm(session, order.buyer_id, order.id)
        reviews.write(session, order.buyer_id, order.id, 5, "")
        session.execute(
            text(
                "UPDATE reviews SET visible_at = visible_at - :days * interval '1 day' WHERE order_id = :id"
            ),
            {"id": order.id, "days": days},
        )
    count_reviews(resources)
    with resources.database.transaction() as session:
        assert session.get_one(User, order.seller_id).reviews == (days == 30)
