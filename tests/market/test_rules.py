"""The rules of a live English auction, one sentence at a time."""

from dataclasses import replace
from typing import Any

import pytest

from market.rules import (
    MAX_AMOUNT,
    AcceptedOffer,
    BidderPaddle,
    BiddingState,
    BidOffer,
    BuyNowUntil,
    Code,
    IncrementStep,
    Lead,
    PurchaseOffer,
    RejectedOffer,
    Sealed,
    SealTooEarly,
    SoftCloseRule,
    apply,
    buy_now,
    cancel,
    change_paddle,
    decide,
    increment,
    next_minimum,
    reserve_met,
    seal,
)

OPENS_AT, ENDS_AT, LATEST_END = 10_000, 100_000, 130_000
NOW = 50_000

AUCTION = BiddingState(
    epoch=3,
    seller="seller",
    opens_at=OPENS_AT,
    ends_at=ENDS_AT,
    start_price=1_000,
    steps=(IncrementStep(0, 100), IncrementStep(2_000, 250)),
    soft_close=SoftCloseRule(window_ms=10_000, extension_ms=15_000, latest_end=LATEST_END),
    paddles={
        "seller": BidderPaddle(9, 50_000),
        "ann": BidderPaddle(5, 20_000),
        "ben": BidderPaddle(7, 15_000),
    },
)


def bid(
    state: BiddingState, bidder: str, maximum: int, now: int = NOW, ref: str = "", epoch: int = 0
) -> tuple[BiddingState, AcceptedOffer]:
    """An accepted bid and the auction after it. Without `ref` it gets a new one."""
    accepted = decide(state, BidOffer(bidder, ref or f"ref{state.seq}", maximum, epoch), now)
    assert isinstance(accepted, AcceptedOffer), accepted
    return apply(state, accepted), accepted


def refusal(
    state: BiddingState, bidder: str, maximum: int, now: int = NOW, ref: str = "new", epoch: int = 0
) -> Code | None:
    """Why a bid is refused; None if it is not."""
    decision = decide(state, BidOffer(bidder, ref, maximum, epoch), now)
    return decision.code if isinstance(decision, RejectedOffer) else None


def led_by_ann(maximum: int, **changes: Any) -> BiddingState:
    return bid(replace(AUCTION, **changes), "ann", maximum)[0]


def purchase(
    state: BiddingState, bidder: str, now: int = NOW, ref: str = "mine", epoch: int = 0
) -> tuple[BiddingState, AcceptedOffer]:
    """An accepted purchase and the auction after it."""
    accepted = decide(state, PurchaseOffer(bidder, ref, epoch), now)
    assert isinstance(accepted, AcceptedOffer), accepted
    return apply(state, accepted), accepted


def purchase_refusal(
    state: BiddingState, bidder: str, now: int = NOW, ref: str = "mine", epoch: int = 0
) -> Code | None:
    """Why a purchase is refused; None if it is not."""
    decision = decide(state, PurchaseOffer(bidder, ref, epoch), now)
    return decision.code if isinstance(decision, RejectedOffer) else None


# Proxy bidding


def test_the_first_bid_shows_the_start_price() -> None:
    after, accepted = bid(AUCTION, "ann", 1_900)
    assert (after.price, after.lead) == (1_000, Lead("ann", 5, 1_900))
    assert (accepted.seq, accepted.bids, accepted.outbid, accepted.next_minimum) == (1, 1, "", 1_100)


def test_the_first_bid_may_be_the_start_price_and_not_less() -> None:
    assert refusal(AUCTION, "ann", 1_000) is None
    assert refusal(AUCTION, "ann", 999) is Code.BELOW_MINIMUM


def test_a_smaller_maximum_pushes_the_price_one_increment_above_it() -> None:
    after, accepted = bid(led_by_ann(1_900), "ben", 1_500)
    assert (after.price, after.lead) == (1_600, Lead("ann", 5, 1_900))
    assert (accepted.maximum, accepted.leader_maximum, accepted.outbid) == (1_500, 1_900, "")


def test_a_smaller_maximum_never_pushes_the_price_above_the_leaders_maximum() -> None:
    after, _ = bid(led_by_ann(1_900), "ben", 1_850)
    assert (after.price, after.lead) == (1_900, Lead("ann", 5, 1_900))


def test_at_equal_maxima_the_earlier_stays_ahead_at_that_price() -> None:
    after, accepted = bid(led_by_ann(1_900), "ben", 1_900)
    assert (after.price, after.lead) == (1_900, Lead("ann", 5, 1_900))
    assert accepted.outbid == ""


def test_a_greater_maximum_leads_one_increment_above_the_former_leaders_maximum() -> None:
    after, accepted = bid(led_by_ann(1_900), "ben", 5_000)
    assert (after.price, after.lead) == (2_000, Lead("ben", 7, 5_000))
    assert accepted.outbid == "ann"


def test_a_greater_maximum_never_pays_more_than_itself() -> None:
    after, _ = bid(led_by_ann(1_900), "ben", 1_901)
    assert (after.price, after.lead) == (1_901, Lead("ben", 7, 1_901))


def test_raising_your_own_maximum_as_leader_changes_no_price() -> None:
    after, accepted = bid(led_by_ann(1_900), "ann", 8_000)
    assert (after.price, after.lead) == (1_000, Lead("ann", 5, 8_000))
    assert (accepted.seq, accepted.bids, accepted.outbid) == (2, 2, "")


def test_the_leader_may_raise_by_less_than_an_increment_but_not_repeat_or_lower() -> None:
    state = led_by_ann(1_900)
    assert refusal(state, "ann", 1_901) is None
    assert refusal(state, "ann", 1_900) is Code.NOT_ABOVE_OWN_MAXIMUM
    assert refusal(state, "ann", 1_899) is Code.NOT_ABOVE_OWN_MAXIMUM


def test_a_challenger_must_reach_the_price_plus_its_increment() -> None:
    state = led_by_ann(1_900)
    assert refusal(state, "ben", 1_099) is Code.BELOW_MINIMUM
    assert refusal(state, "ben", 1_100) is None


@pytest.mark.parametrize(("price", "expected"), [(1, 100), (1_999, 100), (2_000, 250), (MAX_AMOUNT, 250)])
def test_a_step_holds_from_its_price_on(price: int, expected: int) -> None:
    assert increment(AUCTION.steps, price) == expected


def test_the_increment_is_that_of_the_price_before_the_bid() -> None:
    state, _ = bid(led_by_ann(1_900), "ben", 5_000)
    assert state.price == 2_000
    after, accepted = bid(state, "ann", 5_500)
    assert (after.price, accepted.next_minimum) == (5_250, 5_500)


def test_amounts_stop_at_the_largest_exact_integer() -> None:
    rich = {"ann": BidderPaddle(1, MAX_AMOUNT), "ben": BidderPaddle(2, MAX_AMOUNT)}
    state = replace(AUCTION, start_price=MAX_AMOUNT - 1, paddles=rich)
    state, first = bid(state, "ann", MAX_AMOUNT - 1)
    assert first.next_minimum == MAX_AMOUNT
    state, second = bid(state, "ben", MAX_AMOUNT)
    assert (second.price, second.leader, second.next_minimum) == (MAX_AMOUNT, "ben", MAX_AMOUNT)
    state, tie = bid(state, "ann", MAX_AMOUNT)
    assert (tie.price, tie.leader) == (MAX_AMOUNT, "ben")


# Who may bid, and when


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (OPENS_AT - 1, Code.NOT_OPEN),
        (OPENS_AT, None),
        (ENDS_AT - 1, None),
        (ENDS_AT, Code.CLOSED),
    ],
)
def test_bids_are_taken_from_the_opening_until_just_before_the_end(now: int, code: Code | None) -> None:
    assert refusal(AUCTION, "ann", 5_000, now) is code


def test_a_sealed_auction_takes_no_bid_whatever_its_end() -> None:
    sealed = seal(AUCTION, ENDS_AT)
    assert isinstance(sealed, Sealed)
    state = replace(AUCTION, sealed=sealed, ends_at=ENDS_AT + 60_000)
    assert refusal(state, "ann", 5_000) is Code.CLOSED


def test_sellers_may_not_bid_on_their_own_auctions_even_with_a_paddle() -> None:
    assert refusal(AUCTION, "seller", 5_000) is Code.OWN_AUCTION


def test_a_bid_needs_a_paddle_that_was_not_given_back() -> None:
    given_back = change_paddle(AUCTION, "ben", BidderPaddle(7, 0))
    assert given_back
    assert refusal(AUCTION, "stranger", 5_000) is Code.NO_PADDLE
    assert refusal(given_back, "ben", 5_000) is Code.NO_PADDLE


def test_a_paddles_limit_may_be_reached_and_not_exceeded() -> None:
    assert refusal(AUCTION, "ann", 20_000) is None
    assert refusal(AUCTION, "ann", 20_001) is Code.OVER_LIMIT


def test_a_bid_for_another_epoch_is_refused() -> None:
    assert refusal(AUCTION, "ann", 5_000, epoch=3) is None
    assert refusal(AUCTION, "ann", 5_000, epoch=2) is Code.STALE_EPOCH
    assert refusal(AUCTION, "ann", 5_000, epoch=4) is Code.STALE_EPOCH


# Repeated bids


def test_a_repeated_ref_gets_the_first_answer_and_changes_nothing() -> None:
    state, first = bid(AUCTION, "ann", 1_900, ref="one")
    state, _ = bid(state, "ben", 5_000)
    after, again = bid(state, "ann", 1_900, now=ENDS_AT + 1, ref="one", epoch=99)
    assert again is first
    assert after is state


def test_a_repeated_ref_with_another_maximum_is_refused() -> None:
    state, _ = bid(AUCTION, "ann", 1_900, ref="one")
    assert refusal(state, "ann", 2_500, ref="one") is Code.REF_REUSED


def test_two_bidders_may_use_the_same_ref() -> None:
    state, _ = bid(AUCTION, "ann", 1_900, ref="one")
    assert refusal(state, "ben", 5_000, ref="one") is None


def test_a_refused_ref_may_be_used_again() -> None:
    assert refusal(AUCTION, "ann", 999, ref="one") is Code.BELOW_MINIMUM
    assert refusal(AUCTION, "ann", 1_000, ref="one") is None


# Soft close


@pytest.mark.parametrize(
    ("now", "ends_at"),
    [
        (ENDS_AT - 10_001, ENDS_AT),
        (ENDS_AT - 10_000, ENDS_AT + 5_000),
        (ENDS_AT - 1, ENDS_AT + 14_999),
    ],
)
def test_a_bid_inside_the_window_moves_the_end_to_one_extension_after_it(now: int, ends_at: int) -> None:
    after, accepted = bid(AUCTION, "ann", 5_000, now)
    assert after.ends_at == accepted.ends_at == ends_at
    assert accepted.extended is (ends_at > ENDS_AT)


def test_the_leaders_own_raise_extends_too() -> None:
    _, accepted = bid(led_by_ann(1_900), "ann", 8_000, ENDS_AT - 1)
    assert accepted.ends_at == ENDS_AT + 14_999


def test_the_end_never_passes_the_latest_end() -> None:
    state = replace(AUCTION, ends_at=LATEST_END - 5_000)
    state, capped = bid(state, "ann", 5_000, LATEST_END - 5_001)
    assert (capped.ends_at, capped.extended) == (LATEST_END, True)
    state, unmoved = bid(state, "ben", 6_000, LATEST_END - 1)
    assert (unmoved.ends_at, unmoved.extended) == (LATEST_END, False)


def test_an_extension_shorter_than_what_is_left_never_brings_the_end_nearer() -> None:
    short = replace(AUCTION, soft_close=SoftCloseRule(10_000, 5_000, LATEST_END))
    assert bid(short, "ann", 5_000, ENDS_AT - 5_001)[1].ends_at == ENDS_AT
    assert bid(short, "ann", 5_000, ENDS_AT - 5_000)[1].extended is False
    assert bid(short, "ann", 5_000, ENDS_AT - 4_999)[1].ends_at == ENDS_AT + 1


def test_without_a_window_nothing_extends() -> None:
    off = replace(AUCTION, soft_close=SoftCloseRule(0, 15_000, LATEST_END))
    assert bid(off, "ann", 5_000, ENDS_AT - 1)[1].ends_at == ENDS_AT


def test_a_rejected_bid_never_extends() -> None:
    state = led_by_ann(1_900)
    assert refusal(state, "ben", 1_099, ENDS_AT - 1) is Code.BELOW_MINIMUM
    assert refusal(state, "ben", 5_000, ENDS_AT) is Code.CLOSED


def test_a_repeated_ref_never_extends() -> None:
    state, _ = bid(AUCTION, "ann", 1_900, ref="one")
    after, _ = bid(state, "ann", 1_900, ENDS_AT - 1, ref="one")
    assert after.ends_at == ENDS_AT


# Time


def test_a_clock_that_steps_back_never_reorders_the_decisions() -> None:
    state, _ = bid(AUCTION, "ann", 1_900, NOW)
    _, accepted = bid(state, "ben", 5_000, OPENS_AT - 5_000)
    assert accepted.at == NOW


def test_a_clock_that_steps_back_neither_unseals_nor_delays_a_seal() -> None:
    state = replace(AUCTION, decided_at=ENDS_AT)
    sealed = seal(state, NOW)
    assert isinstance(sealed, Sealed)
    assert sealed.at == ENDS_AT


# The end


def test_an_auction_is_sealed_at_its_end_and_not_before() -> None:
    assert seal(AUCTION, ENDS_AT - 1) == SealTooEarly(ENDS_AT)
    assert isinstance(seal(AUCTION, ENDS_AT), Sealed)


def test_an_extended_auction_is_not_sealed_at_its_former_end() -> None:
    state, _ = bid(AUCTION, "ann", 5_000, ENDS_AT - 1)
    assert seal(state, ENDS_AT) == SealTooEarly(ENDS_AT + 14_999)


def test_the_seal_names_the_winner_and_the_hammer_price() -> None:
    state, _ = bid(led_by_ann(1_900), "ben", 5_000)
    assert seal(state, ENDS_AT + 7) == Sealed(
        epoch=3, seq=3, at=ENDS_AT + 7, ends_at=ENDS_AT, price=2_000, leader="ben", leader_paddle=7, bids=2
    )


def test_an_auction_without_bids_is_sealed_unsold() -> None:
    assert seal(AUCTION, ENDS_AT) == Sealed(
        epoch=3, seq=1, at=ENDS_AT, ends_at=ENDS_AT, price=0, leader="", leader_paddle=0, bids=0
    )


def test_sealing_again_gives_the_same_seal() -> None:
    sealed = seal(AUCTION, ENDS_AT)
    assert isinstance(sealed, Sealed)
    assert seal(replace(AUCTION, sealed=sealed), ENDS_AT + 5_000) is sealed


# Cancelling


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("now", [OPENS_AT - 1, NOW, ENDS_AT])
def test_before_the_first_bid_an_auction_can_be_cancelled_at_any_time(now: int, force: bool) -> None:
    assert cancel(AUCTION, now, force) == Sealed(
        epoch=3,
        seq=1,
        at=now,
        ends_at=ENDS_AT,
        price=0,
        leader="",
        leader_paddle=0,
        bids=0,
        cancelled=True,
    )


def test_what_has_bids_is_only_cancelled_by_force_and_nobody_wins() -> None:
    state = led_by_ann(1_900)
    assert cancel(state, NOW, force=False) is None
    sealed = cancel(state, NOW, force=True)
    assert sealed
    assert (sealed.seq, sealed.price, sealed.leader, sealed.bids) == (2, 1_000, "", 1)


def test_no_bid_counts_after_the_cancelling_and_no_hammer_falls() -> None:
    sealed = cancel(AUCTION, NOW, force=False)
    over = replace(AUCTION, sealed=sealed)
    assert refusal(over, "ann", 5_000) is Code.CANCELLED
    assert refusal(over, "ann", 5_000, ENDS_AT) is Code.CANCELLED
    assert seal(over, ENDS_AT) is cancel(over, NOW + 1, force=True) is sealed


def test_what_is_sealed_is_not_cancelled_any_more() -> None:
    sealed = seal(led_by_ann(1_900), ENDS_AT)
    assert isinstance(sealed, Sealed)
    assert cancel(replace(led_by_ann(1_900), sealed=sealed), ENDS_AT, force=True) is sealed


# The reserve


def test_without_a_reserve_it_is_met_even_before_the_first_bid() -> None:
    assert reserve_met(AUCTION)


def test_below_the_reserve_bids_contest_as_if_there_were_none() -> None:
    state = led_by_ann(1_900, reserve=5_000)
    assert (state.price, reserve_met(state)) == (1_000, False)
    after, accepted = bid(state, "ben", 4_999)
    assert (after.price, after.lead) == (2_000, Lead("ben", 7, 4_999))
    assert (accepted.reserve_met, accepted.next_minimum) == (False, 2_250)


@pytest.mark.parametrize("maximum", [5_000, 9_000])
def test_a_first_bid_that_reaches_the_reserve_lifts_the_price_to_it(maximum: int) -> None:
    after, accepted = bid(replace(AUCTION, reserve=5_000), "ann", maximum)
    assert (after.price, after.lead) == (5_000, Lead("ann", 5, maximum))
    assert (accepted.reserve_met, accepted.next_minimum) == (True, 5_250)


def test_a_challenger_whose_maximum_reaches_the_reserve_pays_at_least_the_reserve() -> None:
    after, accepted = bid(led_by_ann(1_900, reserve=5_000), "ben", 9_000)
    assert (after.price, after.lead, accepted.reserve_met) == (5_000, Lead("ben", 7, 9_000), True)


def test_the_contest_may_bring_the_price_above_the_reserve_at_once() -> None:
    after, _ = bid(led_by_ann(4_999, reserve=5_000), "ben", 9_000)
    assert after.price == 5_099


def test_a_leader_who_raises_their_own_maximum_over_the_reserve_pays_the_reserve() -> None:
    state = led_by_ann(1_900, reserve=5_000)
    assert bid(state, "ann", 4_999)[0].price == 1_000
    after, accepted = bid(state, "ann", 5_000)
    assert (after.price, accepted.reserve_met) == (5_000, True)


def test_a_reserve_that_is_met_changes_nothing_any_more() -> None:
    state = led_by_ann(9_000, reserve=5_000)
    after, _ = bid(state, "ben", 6_000)
    assert after.price == 6_250
    assert bid(after, "ann", 9_500)[0].price == 6_250


def test_an_auction_below_its_reserve_is_sealed_without_a_winner_at_the_price_it_reached() -> None:
    state, _ = bid(led_by_ann(1_900, reserve=5_000), "ben", 4_999)
    assert seal(state, ENDS_AT) == Sealed(
        epoch=3, seq=3, at=ENDS_AT, ends_at=ENDS_AT, price=2_000, leader="", leader_paddle=0, bids=2
    )


def test_an_auction_at_its_reserve_is_sold() -> None:
    sealed = seal(led_by_ann(5_000, reserve=5_000), ENDS_AT)
    assert isinstance(sealed, Sealed)
    assert (sealed.price, sealed.leader, sealed.leader_paddle) == (5_000, "ann", 5)


# Buying at once


FOR_SALE = replace(AUCTION, buy_now_price=6_000)


def test_a_purchase_pays_exactly_what_it_costs_and_ends_the_auction_at_its_moment() -> None:
    after, bought = purchase(FOR_SALE, "ann")
    assert (bought.maximum, bought.price, bought.leader, bought.bought) == (6_000, 6_000, "ann", True)
    assert (bought.at, bought.ends_at, bought.extended, bought.buy_now) == (NOW, NOW, False, 0)
    assert seal(after, NOW) == Sealed(
        epoch=3, seq=2, at=NOW, ends_at=NOW, price=6_000, leader="ann", leader_paddle=5, bids=1
    )


def test_a_purchase_takes_the_lead_whatever_the_leaders_hidden_maximum() -> None:
    after, bought = purchase(bid(FOR_SALE, "ann", 9_000)[0], "ben")
    assert (after.price, after.lead, bought.outbid) == (6_000, Lead("ben", 7, 6_000), "ann")


def test_the_leader_may_buy_and_outbids_nobody() -> None:
    after, bought = purchase(bid(FOR_SALE, "ann", 9_000)[0], "ann")
    assert (after.price, after.lead, bought.outbid) == (6_000, Lead("ann", 5, 6_000), "")


def test_nothing_is_accepted_after_a_purchase() -> None:
    state, _ = purchase(FOR_SALE, "ann")
    assert refusal(state, "ben", 15_000) is Code.CLOSED
    assert purchase_refusal(state, "ben") is Code.CLOSED
    assert refusal(state, "ben", 15_000, now=OPENS_AT) is Code.CLOSED, "also if the clock steps back"


def test_a_purchase_meets_the_reserve() -> None:
    state, bought = purchase(replace(FOR_SALE, reserve=6_000), "ann")
    assert bought.reserve_met
    sealed = seal(state, NOW)
    assert isinstance(sealed, Sealed)
    assert sealed.leader == "ann"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"now": ENDS_AT}, Code.CLOSED),
        ({"epoch": 2}, Code.STALE_EPOCH),
        ({"now": OPENS_AT - 1}, Code.NOT_OPEN),
        ({"bidder": "seller"}, Code.OWN_AUCTION),
        ({"bidder": "stranger"}, Code.NO_PADDLE),
        ({"bidder": "given_back"}, Code.NO_PADDLE),
        ({"bidder": "poor"}, Code.OVER_LIMIT),
        ({"epoch": 3}, None),
    ],
)
def test_a_purchase_is_refused_for_the_reasons_of_a_bid(changes: dict[str, Any], code: Code | None) -> None:
    paddles = {**AUCTION.paddles, "given_back": BidderPaddle(1, 0), "poor": BidderPaddle(2, 5_999)}
    assert purchase_refusal(replace(FOR_SALE, paddles=paddles), **{"bidder": "ann"} | changes) is code


def test_a_limit_of_exactly_what_it_costs_suffices() -> None:
    paddles = {"ann": BidderPaddle(5, 6_000)}
    assert purchase_refusal(replace(FOR_SALE, paddles=paddles), "ann") is None


def test_what_was_never_for_sale_at_once_cannot_be_bought() -> None:
    assert purchase_refusal(AUCTION, "ann") is Code.NO_BUY_NOW


@pytest.mark.parametrize(
    ("until", "bids", "offered"),
    [
        (BuyNowUntil.FIRST_BID, [], True),
        (BuyNowUntil.FIRST_BID, [1_000], False),
        (BuyNowUntil.RESERVE_MET, [], True),
        (BuyNowUntil.RESERVE_MET, [2_999], True),
        (BuyNowUntil.RESERVE_MET, [3_000], False),
        (BuyNowUntil.ALWAYS, [3_000], True),
    ],
)
def test_the_policy_says_which_bids_end_the_offer(until: BuyNowUntil, bids: list[int], offered: bool) -> None:
    state = replace(FOR_SALE, reserve=3_000, buy_now_until=until)
    for maximum in bids:
        state, accepted = bid(state, "ann", maximum)
        assert accepted.buy_now == buy_now(state)
    assert buy_now(state) == (6_000 if offered else 0)
    assert purchase_refusal(state, "ben") is (None if offered else Code.NO_BUY_NOW)


@pytest.mark.parametrize("until", [BuyNowUntil.RESERVE_MET, BuyNowUntil.ALWAYS])
@pytest.mark.parametrize(("price", "offered"), [(5_750, 6_000), (5_751, 0), (6_000, 0), (7_000, 0)])
def test_whatever_the_policy_nobody_buys_for_less_than_the_next_bid(
    until: BuyNowUntil, price: int, offered: int
) -> None:
    lead = Lead("ann", 5, 9_000)
    state = replace(FOR_SALE, reserve=6_000, buy_now_until=until, price=price, lead=lead)
    assert buy_now(state) == offered


# Repeated purchases


def test_a_repeated_purchase_gets_the_first_answer() -> None:
    state, first = purchase(FOR_SALE, "ann")
    after, again = purchase(state, "ann", now=ENDS_AT + 1, epoch=99)
    assert again is first
    assert after is state


def test_a_ref_is_for_a_bid_or_a_purchase_not_for_both() -> None:
    bought, _ = purchase(FOR_SALE, "ann", ref="one")
    assert refusal(bought, "ann", 6_000, ref="one") is Code.REF_REUSED
    bid_for, _ = bid(FOR_SALE, "ann", 6_000, ref="one")
    assert purchase_refusal(bid_for, "ann", ref="one") is Code.REF_REUSED


# Paddles


def test_a_limit_can_be_raised_while_leading() -> None:
    raised = change_paddle(led_by_ann(1_900), "ann", BidderPaddle(5, 40_000))
    assert raised
    assert refusal(raised, "ann", 40_000) is None


def test_the_leaders_limit_can_be_lowered_to_the_maximum_and_not_below() -> None:
    state = led_by_ann(1_900)
    assert change_paddle(state, "ann", BidderPaddle(5, 1_900))
    assert change_paddle(state, "ann", BidderPaddle(5, 1_899)) is None
    assert change_paddle(state, "ann", BidderPaddle(5, 0)) is None


def test_who_does_not_lead_may_give_the_paddle_back() -> None:
    state, _ = bid(led_by_ann(1_900), "ben", 5_000)
    assert change_paddle(state, "ann", BidderPaddle(5, 0))


def test_the_next_minimum_of_an_auction_without_bids_is_its_start_price() -> None:
    assert next_minimum(AUCTION) == 1_000
