"""Orders whose sides do not agree: a moderator decides, once, and is no side of it."""

import random
from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest

from market import audit
from market.audit import Actor
from market.orders import chats, disputes, orders
from market.orders.disputes import ACTIONS, Dispute, Outcome
from market.orders.orders import OrderView
from store.ids import new_id
from store.models import OrderState, Role
from tests.support.factories import make_user
from tests.support.races import at_once
from tests.support.trade import PRICE, Trade

WHY = "The photo shows it."


@pytest.fixture
def moderator(trade: Trade) -> Actor:
    with trade.database.transaction() as session:
        return Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR)


def disagree(trade: Trade) -> None:
    trade.ship()
    trade.do(orders.report_problem, trade.buyer, trade.order_id, "It is broken.")


@pytest.mark.parametrize(
    ("outcome", "state", "money"),
    [
        ("complete", OrderState.COMPLETED, (0, PRICE, 0)),
        ("refund", OrderState.REFUNDED, (0, 0, PRICE)),
    ],
)
def test_a_moderator_decides_who_gets_the_escrow(
    trade: Trade, moderator: Actor, outcome: Outcome, state: OrderState, money: tuple[int, int, int]
) -> None:
    disagree(trade)
    case = trade.do(disputes.resolve, moderator, trade.order_id, outcome, WHY)
    assert (case.state, case.problem, case.finished_at is not None) == (state, "It is broken.", True)
    assert (case.seller_id, case.buyer_id) == (trade.seller, trade.buyer)
    assert trade.money == money
    assert trade.events()[-1] == (ACTIONS[outcome], "problem", state, moderator.user_id)
    [noted] = trade.do(audit.page, None, str(trade.order_id), None, None, 100).items
    assert (noted.action, noted.subject_kind, noted.reason) == ("resolve", "order", WHY)
    assert (noted.before, noted.after) == ({"state": "problem"}, {"state": state})
    done = [trade.user(user).completed_orders for user in (trade.seller, trade.buyer)]
    assert done == ([1, 1] if outcome == "complete" else [0, 0])
    trade.check_ledger()


def test_only_what_the_sides_do_not_agree_about_is_decided(trade: Trade, moderator: Actor) -> None:
    def resolve(order_id: UUID, outcome: Outcome, why: str) -> str:
        return trade.refused(disputes.resolve, moderator, order_id, outcome, why)

    assert resolve(new_id(), "refund", WHY) == "not_found"
    assert resolve(trade.order_id, "refund", WHY) == "wrong_state"
    trade.ship()
    assert resolve(trade.order_id, "complete", WHY) == "wrong_state"
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    assert resolve(trade.order_id, "refund", WHY) == "wrong_state"
    assert trade.money == (0, PRICE, 0)
    assert trade.do(audit.page, None, str(trade.order_id), None, None, 100).items == []


def test_nobody_decides_about_their_own_order(trade: Trade) -> None:
    disagree(trade)
    for side in (trade.buyer, trade.seller):
        for outcome in ACTIONS:
            party = Actor(side, Role.ADMIN)
            assert trade.refused(disputes.resolve, party, trade.order_id, outcome, WHY) == "forbidden"
    assert trade.money == (PRICE, 0, 0)


def test_the_sides_and_moderators_at_once_move_the_escrow_once(trade: Trade, moderator: Actor) -> None:
    disagree(trade)
    calls: list[Callable[[], Dispute | OrderView]] = [
        *[partial(trade.do, disputes.resolve, moderator, trade.order_id, outcome, WHY) for outcome in ACTIONS]
        * 2,
        partial(trade.do, orders.confirm, trade.buyer, trade.order_id),
        partial(trade.do, orders.refund, trade.seller, trade.order_id),
    ]
    random.shuffle(calls)
    answers = at_once(calls)
    [won] = [answer for answer in answers if not isinstance(answer, str)]
    assert answers.count("wrong_state") == 5
    assert trade.money == ((0, PRICE, 0) if won.state == "completed" else (0, 0, PRICE))
    trade.check_ledger()


def test_a_case_has_its_steps_and_its_chat_and_other_orders_are_none(trade: Trade, moderator: Actor) -> None:
    for number in range(3):
        trade.do(chats.send, trade.seller, trade.order_id, f"Message {number}")
    trade.ship()
    assert trade.refused(disputes.read, moderator, trade.order_id) == "not_found"
    assert trade.refused(disputes.read, moderator, new_id()) == "not_found"
    trade.do(orders.report_problem, trade.buyer, trade.order_id, "It is broken.")
    file = trade.do(disputes.read, moderator, trade.order_id)
    assert file.dispute.problem == "It is broken."
    assert [(event.action, event.actor_id) for event in file.events] == [
        ("ship", trade.seller),
        ("report_problem", trade.buyer),
    ]
    assert [message.text for message in file.messages] == ["Message 0", "Message 1", "Message 2"]
    assert {message.sender_id for message in file.messages} == {trade.seller}
    trade.do(disputes.resolve, moderator, trade.order_id, "refund", WHY)
    assert trade.do(disputes.read, moderator, trade.order_id).events[-1].actor_id == moderator.user_id


def test_every_reading_of_a_chat_is_noted_once(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        admin = Actor(make_user(session, role=Role.ADMIN), Role.ADMIN)

    def readers() -> list[tuple[str, UUID | None, str]]:
        noted = trade.do(audit.page, None, str(trade.order_id), "read_chat", None, 100).items
        return [(entry.subject_kind, entry.actor_id, entry.reason) for entry in reversed(noted)]

    assert trade.refused(disputes.read, moderator, trade.order_id) == "not_found"
    assert readers() == []
    disagree(trade)
    before = trade.in_ms()
    for actor in (moderator, admin, moderator):
        trade.do(disputes.read, actor, trade.order_id)
    assert readers() == [("order", actor.user_id, "") for actor in (moderator, admin, moderator)]
    [last] = trade.do(audit.page, None, str(trade.order_id), None, None, 1).items
    assert before <= last.at <= trade.in_ms()
    assert (last.before, last.after) == (None, None)
    # The list of the cases has no messages.
    trade.do(disputes.page, None, 100)
    assert len(readers()) == 3


def test_what_waits_for_a_decision_is_listed_the_oldest_first(trade: Trade, moderator: Actor) -> None:
    disagree(trade)
    other = Trade.begin(trade.database)
    assert other.order_id not in waiting(trade)
    disagree(other)
    assert waiting(trade)[-2:] == [trade.order_id, other.order_id]
    trade.do(disputes.resolve, moderator, trade.order_id, "refund", WHY)
    assert trade.order_id not in waiting(trade)
    assert trade.refused(disputes.page, "x", 1) == "invalid_cursor"


def waiting(trade: Trade) -> list[object]:
    """The ids of all cases, read in pages of one."""
    ids: list[object] = []
    cursor = None
    while True:
        page = trade.do(disputes.page, cursor, 1)
        ids += [case.id for case in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return ids
