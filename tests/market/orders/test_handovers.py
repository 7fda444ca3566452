"""Agreeing on a meeting, the code that ends it, and what happens to those who do not come."""

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import text

from market.orders import handovers, orders
from market.orders.orders import OrderView
from store.ids import new_id
from tests.support.factories import make_user
from tests.support.races import at_once
from tests.support.trade import (
    DAY,
    KEYS,
    PRICE,
    Trade,
)


def complete(trade: Trade, code: str) -> OrderView:
    """Enter a code, as the handler does."""
    trade.do(handovers.count_try, trade.seller, trade.order_id)
    return trade.do(handovers.complete, trade.seller, trade.order_id, code, KEYS)


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


def enter_wrong(trade: Trade, times: int) -> None:
    for _ in range(times):
        trade.do(handovers.count_try, trade.seller, trade.order_id)
        code = trade.refused(handovers.complete, trade.seller, trade.order_id, wrong(trade.code()), KEYS)
        assert code == "wrong_code"


def test_the_buyers_code_pays_the_seller(trade: Trade) -> None:
    at = trade.in_ms(hours=1)
    proposed = trade.do(handovers.propose, trade.seller, trade.order_id, "The fountain", at)
    assert proposed.proposal == orders.Meeting(1, "seller", "The fountain", at)
    assert (proposed.state, proposed.agreement) == ("in_escrow", None)
    agreed = trade.do(handovers.accept, trade.buyer, trade.order_id, 1)
    assert (agreed.state, agreed.delivery, agreed.proposal) == ("agreed", "handover", None)
    assert agreed.agreement == proposed.proposal
    assert agreed.due_at == at + 14 * 24 * 3600 * 1000
    code = trade.code()
    assert len(code) == 6
    assert code.isdigit()

    done = complete(trade, code)

    assert (done.state, trade.money) == ("completed", (0, PRICE, 0))
    assert trade.events() == [
        ("agree", "in_escrow", "agreed", trade.buyer),
        ("hand_over", "agreed", "completed", trade.seller),
    ]


def test_a_new_proposal_voids_the_last_one_and_the_agreement_holds_until_it_is_accepted(trade: Trade) -> None:
    trade.agree()
    before = trade.code()
    at = trade.in_ms(hours=5)
    for place in ("The bridge", "The tower"):
        seen = trade.do(handovers.propose, trade.buyer, trade.order_id, place, at)
    assert seen.agreement is not None
    assert (seen.state, seen.agreement.place) == ("agreed", "The fountain")
    assert trade.code() == before
    assert trade.refused(handovers.accept, trade.seller, trade.order_id, 2) == "stale_proposal"
    assert trade.refused(handovers.accept, trade.buyer, trade.order_id, 3) == "own_proposal"

    seen = trade.do(handovers.accept, trade.seller, trade.order_id, 3)

    assert seen.agreement is not None
    assert (seen.state, seen.agreement.place) == ("agreed", "The tower")
    assert trade.code() != before
    assert trade.refused(handovers.complete, trade.seller, trade.order_id, before, KEYS) == "wrong_code"
    assert trade.refused(handovers.accept, trade.seller, trade.order_id, 3) == "stale_proposal"


@pytest.mark.parametrize("hours", [-1, 0, 30 * 24 + 1])
def test_a_meeting_is_within_30_days_from_now(trade: Trade, hours: int) -> None:
    at = trade.in_ms(hours=hours)
    assert trade.refused(handovers.propose, trade.buyer, trade.order_id, "Here", at) == "invalid_time"


def test_a_time_that_has_passed_cannot_be_accepted(trade: Trade) -> None:
    trade.do(handovers.propose, trade.buyer, trade.order_id, "Here", trade.in_ms(hours=1))
    trade.pass_time(timedelta(hours=2))
    assert trade.refused(handovers.accept, trade.seller, trade.order_id, 1) == "stale_proposal"


def test_only_the_buyer_has_the_code_and_only_while_they_will_meet(trade: Trade) -> None:
    assert trade.refused(handovers.code, trade.buyer, trade.order_id, KEYS) == "wrong_state"
    trade.agree()
    assert trade.refused(handovers.code, trade.seller, trade.order_id, KEYS) == "forbidden"
    assert trade.refused(handovers.code, new_id(), trade.order_id, KEYS) == "not_found"
    complete(trade, trade.code())
    assert trade.refused(handovers.code, trade.buyer, trade.order_id, KEYS) == "wrong_state"


def test_the_code_is_made_with_the_key_and_stands_in_no_table(trade: Trade) -> None:
    trade.agree()
    code = trade.code()
    assert trade.do(handovers.code, trade.buyer, trade.order_id, [b"another key"]) != code
    for table in ("orders", "handovers", "order_events"):
        with trade.database.transaction() as session:
            column = "id" if table == "orders" else "order_id"
            rows = session.execute(
                text(f"SELECT t::text FROM {table} t WHERE {column} = :id"), {"id": trade.order_id}
            )
            assert not [row for (row,) in rows if code in row.replace(str(trade.order_id), "")]


def test_while_the_key_is_exchanged_the_codes_of_both_are_good(trade: Trade) -> None:
    trade.agree()
    code, keys = trade.code(), [b"a new key", *KEYS]
    newer = trade.do(handovers.code, trade.buyer, trade.order_id, keys)
    assert newer != code
    assert trade.refused(handovers.complete, trade.seller, trade.order_id, newer, KEYS) == "wrong_code"
    assert trade.do(handovers.complete, trade.seller, trade.order_id, code, keys).state == "completed"


def test_five_wrong_codes_lock_the_entry_for_an_hour(trade: Trade) -> None:
    trade.agree()
    enter_wrong(trade, 5)
    assert trade.refused(handovers.count_try, trade.seller, trade.order_id) == "code_locked"
    trade.pass_time(timedelta(minutes=59))
    assert trade.refused(handovers.count_try, trade.seller, trade.order_id) == "code_locked"
    trade.pass_time(timedelta(minutes=2))
    enter_wrong(trade, 1)
    assert complete(trade, trade.code()).state == "completed"


def test_twenty_wrong_codes_end_the_entry_until_there_is_a_new_agreement(trade: Trade) -> None:
    trade.agree()
    for _ in range(4):
        enter_wrong(trade, 5)
        trade.pass_time(timedelta(hours=1))
    assert trade.refused(handovers.count_try, trade.seller, trade.order_id) == "too_many_tries"
    trade.do(handovers.propose, trade.seller, trade.order_id, "The bridge", trade.in_ms(hours=1))
    assert trade.refused(handovers.count_try, trade.seller, trade.order_id) == "too_many_tries"
    trade.agree()
    enter_wrong(trade, 4)
    assert complete(trade, trade.code()).state == "completed"


def test_a_new_agreement_unlocks_the_entry(trade: Trade) -> None:
    trade.agree()
    enter_wrong(trade, 5)
    trade.agree()
    assert complete(trade, trade.code()).state == "completed"


def test_tries_at_the_same_moment_are_counted_too(trade: Trade) -> None:
    trade.agree()
    code = wrong(trade.code())
    answers = at_once([partial(complete, trade, code)] * 12)
    assert sorted(map(str, answers)) == ["code_locked"] * 7 + ["wrong_code"] * 5


def test_the_right_code_at_the_same_moment_pays_once(trade: Trade) -> None:
    trade.agree()
    answers = at_once([partial(complete, trade, trade.code())] * 5)
    assert len([answer for answer in answers if isinstance(answer, OrderView)]) == 1
    assert trade.money == (0, PRICE, 0)
    assert trade.user(trade.seller).completed_orders == 1
    trade.check_ledger()


def test_the_buyer_counts_no_tries(trade: Trade) -> None:
    trade.agree()
    for _ in range(6):
        trade.do(handovers.count_try, trade.buyer, trade.order_id)
    assert trade.refused(handovers.complete, trade.buyer, trade.order_id, trade.code(), KEYS) == "forbidden"
    assert complete(trade, trade.code()).state == "completed"


def test_a_no_show_is_reported_from_the_third_day_on(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(3 * DAY)
    assert trade.refused(handovers.report_no_show, trade.buyer, trade.order_id) == "too_early"
    trade.pass_time(timedelta(hours=1))
    seen = trade.do(handovers.report_no_show, trade.buyer, trade.order_id)
    assert (seen.state, seen.absent) == ("no_show", "seller")


@pytest.mark.parametrize("absent", ["buyer", "seller"])
def test_who_does_not_come_and_does_not_deny_it_is_marked_and_the_buyer_refunded(
    trade: Trade, absent: str
) -> None:
    trade.agree()
    trade.pass_time(4 * DAY)
    present = trade.buyer if absent == "seller" else trade.seller
    trade.do(handovers.report_no_show, present, trade.order_id)
    trade.pass_time(2 * DAY)
    trade.sweep()
    assert trade.view().state == "no_show"
    trade.pass_time(DAY)
    trade.sweep()
    assert (trade.view().state, trade.money) == ("cancelled", (0, 0, PRICE))
    marked = {side for side in ("buyer", "seller") if trade.user(getattr(trade, side)).no_shows}
    assert marked == {absent}
    trust = trade.user(getattr(trade, absent)).trust
    assert trust == 43
    assert trade.user(present).trust == 60


def test_who_denies_it_is_not_marked_and_the_money_waits(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(4 * DAY)
    trade.do(handovers.report_no_show, trade.buyer, trade.order_id)
    assert trade.refused(handovers.contest, trade.buyer, trade.order_id) == "forbidden"
    assert trade.do(handovers.contest, trade.seller, trade.order_id).state == "problem"
    trade.pass_time(100 * DAY)
    trade.sweep()
    assert (trade.view().state, trade.money) == ("problem", (PRICE, 0, 0))
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    assert trade.money == (0, PRICE, 0)
    assert trade.user(trade.seller).no_shows == 0


def test_after_a_report_they_can_still_meet(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(4 * DAY)
    trade.do(handovers.report_no_show, trade.seller, trade.order_id)
    seen = trade.agree()
    assert (seen.state, seen.absent) == ("agreed", None)
    complete(trade, trade.code())
    assert trade.user(trade.buyer).no_shows == 0


def test_without_any_word_it_is_cancelled_14_days_after_the_meeting(trade: Trade) -> None:
    trade.agree()
    trade.pass_time(14 * DAY)
    trade.sweep()
    assert trade.view().state == "agreed"
    trade.pass_time(timedelta(hours=2))
    trade.sweep()
    assert (trade.view().state, trade.money) == ("cancelled", (0, 0, PRICE))
    assert trade.user(trade.buyer).no_shows == trade.user(trade.seller).no_shows == 0


def test_strangers_find_no_order(trade: Trade) -> None:
    with trade.database.transaction() as session:
        stranger = make_user(session)
    trade.agree()
    order = trade.order_id
    assert trade.refused(handovers.propose, stranger, order, "Here", trade.in_ms(hours=1)) == "not_found"
    assert trade.refused(handovers.accept, stranger, order, 1) == "not_found"
    assert trade.refused(handovers.count_try, stranger, order) == "not_found"
    assert trade.refused(handovers.complete, stranger, order, trade.code(), KEYS) == "not_found"
    assert trade.refused(handovers.report_no_show, stranger, order) == "not_found"
    assert trade.refused(handovers.contest, stranger, order) == "not_found"
