"""Orders: what both parties see, every step and its money, and that no other step is possible."""

import random
import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.orders import handovers, orders, reviews
from market.orders.orders import (
    FINAL,
    TRANSITIONS,
    Action,
    OrderParty,
    OrderView,
)
from store.database import SyncDatabase
from store.ids import new_id
from store.models import DeliveryMethod, OrderState
from tests.support.claims import all_due
from tests.support.factories import make_order, make_user
from tests.support.races import at_once
from tests.support.trade import (
    DAY,
    KEYS,
    PRICE,
    Trade,
)


def test_buyer_and_seller_see_the_order_and_nobody_else(db_session: Session) -> None:
    seller, buyer = make_user(db_session, "Sue"), make_user(db_session, "Bob")
    order_id = make_order(db_session, seller, buyer, title="A lamp").id
    seen = orders.get(db_session, buyer, order_id)
    assert (seen.id, seen.title, seen.hammer_price) == (order_id, "A lamp", 1_500)
    assert (seen.state, seen.role, seen.other_id, seen.other_name) == ("in_escrow", "buyer", seller, "Sue")
    assert seen.due_at == seen.created_at + 7 * 24 * 3600 * 1000
    seen = orders.get(db_session, seller, order_id)
    assert (seen.role, seen.other_id, seen.other_name) == ("seller", buyer, "Bob")
    with pytest.raises(Refusal, match="not_found"):
        orders.get(db_session, make_user(db_session), order_id)
    with pytest.raises(Refusal, match="not_found"):
        orders.get(db_session, buyer, new_id())


def test_each_side_pages_through_its_own_orders_newest_first(db_session: Session) -> None:
    one, other = make_user(db_session), make_user(db_session)
    bought = [make_order(db_session, other, one).id for _ in range(3)]
    sold = make_order(db_session, one, other).id

    first = orders.page(db_session, one, "buyer", None, 2)
    rest = orders.page(db_session, one, "buyer", first.next_cursor, 2)
    assert [order.id for order in first.items + rest.items] == bought[::-1]
    assert rest.next_cursor is None
    assert {order.role for order in first.items} == {"buyer"}
    [only] = orders.page(db_session, one, "seller", None, 2).items
    assert (only.id, only.role) == (sold, "seller")


def test_the_goods_change_hands_as_the_seller_has_offered(db_session: Session) -> None:
    by_hand = make_order(db_session, deliveries=(DeliveryMethod.HANDOVER,))
    seen = orders.get(db_session, by_hand.buyer_id, by_hand.id)
    assert (seen.deliveries, seen.delivery) == ([DeliveryMethod.HANDOVER], None)
    with pytest.raises(Refusal) as refused:
        orders.ship(db_session, by_hand.seller_id, by_hand.id, "A carrier", "1234")
    assert (refused.value.code, refused.value.fields) == (
        "delivery_not_offered",
        {"deliveries": ["handover"]},
    )
    with pytest.raises(Refusal, match="forbidden"):
        orders.ship(db_session, by_hand.buyer_id, by_hand.id, "A carrier", "1234")

    by_post = make_order(db_session, deliveries=(DeliveryMethod.SHIPPING,))
    for side in (by_post.seller_id, by_post.buyer_id):
        with pytest.raises(Refusal, match="delivery_not_offered"):
            handovers.propose(db_session, side, by_post.id, "The fountain", 1)
    assert orders.ship(db_session, by_post.seller_id, by_post.id, "A carrier", "1234").state == "shipped"


def test_a_forged_cursor_is_refused(db_session: Session) -> None:
    with pytest.raises(Refusal, match="invalid_cursor"):
        orders.page(db_session, make_user(db_session), "buyer", "no cursor", 2)


def test_what_was_shipped_and_confirmed_pays_the_seller(trade: Trade) -> None:
    assert trade.money == (PRICE, 0, 0)
    shipped = trade.ship()
    assert (shipped.state, shipped.delivery, shipped.carrier) == ("shipped", "shipping", "A carrier")
    assert trade.money == (PRICE, 0, 0)

    done = trade.do(orders.confirm, trade.buyer, trade.order_id)

    assert (done.state, done.due_at, done.finished_at is not None) == ("completed", None, True)
    assert trade.money == (0, PRICE, 0)
    assert trade.events() == [
        ("ship", "in_escrow", "shipped", trade.seller),
        ("confirm", "shipped", "completed", trade.buyer),
    ]
    assert [trade.user(user).completed_orders for user in (trade.seller, trade.buyer)] == [1, 1]
    trade.check_ledger()


def test_what_nobody_confirms_is_completed_after_seven_days(trade: Trade) -> None:
    trade.ship()
    trade.pass_time(6 * DAY)
    trade.sweep()
    assert trade.view().state == "shipped"
    trade.pass_time(DAY)
    trade.sweep()
    assert trade.view().state == "completed"
    assert trade.money == (0, PRICE, 0)
    assert trade.events()[-1] == ("time_out", "shipped", "completed", None)


def test_a_reported_problem_keeps_the_money_where_it_is(trade: Trade) -> None:
    trade.ship()
    seen = trade.do(orders.report_problem, trade.buyer, trade.order_id, "It is broken.")
    assert (seen.state, seen.problem, seen.due_at) == ("problem", "It is broken.", None)
    trade.pass_time(400 * DAY)
    trade.sweep()
    assert (trade.view().state, trade.money) == ("problem", (PRICE, 0, 0))
    trade.do(orders.refund, trade.seller, trade.order_id)
    assert trade.money == (0, 0, PRICE)


def test_what_nobody_cares_for_is_cancelled_after_seven_days(trade: Trade) -> None:
    trade.pass_time(7 * DAY - timedelta(minutes=1))
    trade.sweep()
    assert trade.view().state == "in_escrow"
    trade.pass_time(timedelta(minutes=1))
    with trade.database.transaction() as session:
        assert trade.order_id in all_due(session, orders.claim_due)
    trade.sweep()
    assert (trade.view().state, trade.money) == ("cancelled", (0, 0, PRICE))
    assert [trade.user(user).no_shows for user in (trade.seller, trade.buyer)] == [0, 0]
    with trade.database.transaction() as session:
        assert trade.order_id not in all_due(session, orders.claim_due)


def to_in_escrow(trade: Trade) -> None:
    """It is there already."""


def to_agreed(trade: Trade) -> None:
    trade.agree()


def to_no_show(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(4 * DAY)
    trade.do(handovers.report_no_show, trade.buyer, trade.order_id)


def to_shipped(trade: Trade) -> None:
    trade.ship()


def to_problem(trade: Trade) -> None:
    trade.ship()
    trade.do(orders.report_problem, trade.buyer, trade.order_id, "It is broken.")


def to_completed(trade: Trade) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)


def to_refunded(trade: Trade) -> None:
    trade.do(orders.refund, trade.seller, trade.order_id)


def to_cancelled(trade: Trade) -> None:
    trade.pass_time(8 * DAY)
    trade.sweep()


REACH: dict[OrderState, Callable[[Trade], None]] = {
    OrderState.IN_ESCROW: to_in_escrow,
    OrderState.AGREED: to_agreed,
    OrderState.NO_SHOW: to_no_show,
    OrderState.SHIPPED: to_shipped,
    OrderState.PROBLEM: to_problem,
    OrderState.COMPLETED: to_completed,
    OrderState.REFUNDED: to_refunded,
    OrderState.CANCELLED: to_cancelled,
}


@pytest.mark.parametrize("state", OrderState)
def test_what_the_table_does_not_have_is_refused_and_changes_nothing(trade: Trade, state: OrderState) -> None:
    REACH[state](trade)
    before = trade.view()
    assert before.state == state
    before_money, before_events = trade.money, trade.events()
    for action in set(Action) - {Action.TIME_OUT, Action.DECIDE_FOR_SELLER, Action.DECIDE_FOR_BUYER}:
        allowed = {actor for actor in (OrderParty.BUYER, OrderParty.SELLER) if actor in who(state, action)}
        for actor in {OrderParty.BUYER, OrderParty.SELLER} - allowed:
            code = trade.refused(step, trade, action, trade.buyer if actor == "buyer" else trade.seller)
            never = not any(actor in who(other, action) for other in OrderState)
            assert code == ("forbidden" if never else "wrong_state"), (action, actor)
    assert (trade.view(), trade.money, trade.events()) == (before, before_money, before_events)


def who(state: OrderState, action: Action) -> frozenset[OrderParty]:
    transition = TRANSITIONS.get((state, action))
    return frozenset() if transition is None else transition.who


def step(session: Session, trade: Trade, action: Action, user: UUID) -> OrderView:
    """The use-case of an action, with whatever else it needs."""
    calls: dict[Action, Callable[[], OrderView]] = {
        Action.AGREE: partial(propose_and_accept, session, user, trade.order_id),
        Action.HAND_OVER: partial(handovers.complete, session, user, trade.order_id, "000000", KEYS),
        Action.REPORT_NO_SHOW: partial(handovers.report_no_show, session, user, trade.order_id),
        Action.CONTEST: partial(handovers.contest, session, user, trade.order_id),
        Action.SHIP: partial(orders.ship, session, user, trade.order_id, "A carrier", "1"),
        Action.CONFIRM: partial(orders.confirm, session, user, trade.order_id),
        Action.REPORT_PROBLEM: partial(orders.report_problem, session, user, trade.order_id, "Hm."),
        Action.REFUND: partial(orders.refund, session, user, trade.order_id),
    }
    return calls[action]()


def propose_and_accept(session: Session, user: UUID, order_id: UUID) -> OrderView:
    return handovers.accept(session, user, order_id, 1)


def test_finished_is_finished() -> None:
    assert not {state for state, _ in TRANSITIONS} & FINAL
    assert {to.to for to in TRANSITIONS.values()} >= FINAL
    for transition in TRANSITIONS.values():
        assert (transition.pays is not None) == (transition.to in FINAL)


def test_the_document_has_the_table() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| (buyer|seller|either|clock|moderator) \| `(\w+)` \| (buyer|seller|)[^|]*\|",
        text,
        re.MULTILINE,
    )
    either = {OrderParty.BUYER, OrderParty.SELLER}
    assert [
        ((state, action), {OrderParty(who)} if who != "either" else either, to, pays or None)
        for state, action, who, to, pays in rows
    ] == [(key, set(each.who), each.to, each.pays) for key, each in TRANSITIONS.items()]


@pytest.mark.parametrize("state", [OrderState.SHIPPED, OrderState.PROBLEM])
def test_at_once_it_is_completed_or_refunded_once(trade: Trade, state: OrderState) -> None:
    REACH[state](trade)
    calls = [
        *[partial(trade.do, orders.confirm, trade.buyer, trade.order_id)] * 4,
        *[partial(trade.do, orders.refund, trade.seller, trade.order_id)] * 4,
    ]
    random.shuffle(calls)

    answers = at_once(calls)

    won = [answer for answer in answers if isinstance(answer, OrderView)]
    assert len(won) == 1
    assert answers.count("wrong_state") == 7
    assert trade.money == ((0, PRICE, 0) if won[0].state == "completed" else (0, 0, PRICE))
    trade.check_ledger()


def test_the_sweep_and_a_side_at_once_move_the_money_once(trade: Trade) -> None:
    trade.ship()
    trade.pass_time(7 * DAY)

    def sweep() -> None:
        trade.sweep()

    calls: list[Callable[[], object]] = [sweep] * 3
    calls += [partial(trade.do, orders.refund, trade.seller, trade.order_id)] * 3
    at_once(calls)

    assert trade.view().state in ("completed", "refunded")
    assert trade.money in ((0, PRICE, 0), (0, 0, PRICE))
    assert len(trade.events()) == 2
    trade.check_ledger()


def test_two_orders_of_the_same_two_are_completed_at_once(trade: Trade) -> None:
    with trade.database.transaction() as session:
        back = make_order(session, trade.buyer, trade.seller, PRICE)
    other = Trade(trade.database, back.id, back.seller_id, back.buyer_id)
    for one in (trade, other):
        one.ship()
    at_once([partial(one.do, orders.confirm, one.buyer, one.order_id) for one in (trade, other)] * 3)
    assert trade.money == (0, PRICE, PRICE)
    assert trade.user(trade.seller).completed_orders == trade.user(trade.buyer).completed_orders == 2


EXPECTED = {
    "forbidden",
    "wrong_state",
    "wrong_code",
    "code_locked",
    "too_many_tries",
    "stale_proposal",
    "own_proposal",
    "invalid_time",
    "too_early",
    "already_reviewed",
    "review_closed",
}


class OrderMachine(RuleBasedStateMachine):
    """Both sides and the sweep do whatever they like, at any time."""

    database: SyncDatabase

    def __init__(self) -> None:
        super().__init__()
        self.trade = Trade.begin(self.database)

    def attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Refusal as refusal:
            if refusal.code not in EXPECTED:
                raise

    def user(self, buyer: bool) -> UUID:
        return self.trade.buyer if buyer else self.trade.seller

    @rule(buyer=st.booleans(), hours=st.integers(-1, 800))
    def propose(self, buyer: bool, hours: int) -> None:
        at = self.trade.in_ms(hours=hours)
        order = self.trade.order_id
        self.attempt(lambda: self.trade.do(handovers.propose, self.user(buyer), order, "Here", at))

    @rule(buyer=st.booleans(), number=st.integers(1, 3))
    def accept(self, buyer: bool, number: int) -> None:
        self.attempt(lambda: self.trade.do(handovers.accept, self.user(buyer), self.trade.order_id, number))

    @rule(buyer=st.booleans())
    def agree(self, buyer: bool) -> None:
        self.attempt(lambda: self.trade.agree())

    @rule(buyer=st.booleans(), right=st.booleans())
    def complete(self, buyer: bool, right: bool) -> None:
        def call() -> None:
            code = self.trade.code() if right else "000000"
            self.trade.do(handovers.count_try, self.user(buyer), self.trade.order_id)
            self.trade.do(handovers.complete, self.user(buyer), self.trade.order_id, code, KEYS)

        self.attempt(call)

    @rule(
        buyer=st.booleans(),
        use_case=st.sampled_from(
            [handovers.report_no_show, handovers.contest, orders.confirm, orders.refund]
        ),
    )
    def act(self, buyer: bool, use_case: Callable[[Session, UUID, UUID], OrderView]) -> None:
        self.attempt(lambda: self.trade.do(use_case, self.user(buyer), self.trade.order_id))

    @rule(buyer=st.booleans())
    def ship(self, buyer: bool) -> None:
        order = self.trade.order_id
        self.attempt(lambda: self.trade.do(orders.ship, self.user(buyer), order, "A carrier", "1"))

    @rule(buyer=st.booleans())
    def report_problem(self, buyer: bool) -> None:
        order = self.trade.order_id
        self.attempt(lambda: self.trade.do(orders.report_problem, self.user(buyer), order, "Hm."))

    @rule(buyer=st.booleans(), stars=st.integers(1, 5))
    def review(self, buyer: bool, stars: int) -> None:
        order = self.trade.order_id
        self.attempt(lambda: self.trade.do(reviews.write, self.user(buyer), order, stars, ""))

    @rule(days=st.integers(0, 20))
    def time_passes(self, days: int) -> None:
        self.trade.pass_time(days * DAY)
        self.trade.sweep()

    @invariant()
    def the_money_is_all_there(self) -> None:
        state, money = self.trade.view().state, self.trade.money
        if state == OrderState.COMPLETED:
            assert money == (0, PRICE, 0)
        elif state in FINAL:
            assert money == (0, 0, PRICE)
        else:
            assert money == (PRICE, 0, 0)
        self.trade.check_ledger()


def test_whatever_they_do_money_is_neither_made_nor_lost(sync_database: SyncDatabase) -> None:
    OrderMachine.database = sync_database
    run_state_machine_as_test(
        OrderMachine,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
