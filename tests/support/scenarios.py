"""Short auctions that together leave no line of the scripts unused.

Scripts and rules are compared after every step (`SideBySide`); what the rules answer is asserted in
tests/market/test_rules.py. `test_mutants.py` requires that each change of a script makes some scenario fail.
Run them with `store.redis.auctions.HISTORY_LENGTH` at `HISTORY_LENGTH`.
"""

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from market.rules import (
    MAX_AMOUNT,
    BidderPaddle,
    BiddingState,
    BuyNowUntil,
    IncrementStep,
    Lead,
    SoftCloseRule,
)
from tests.support.side_by_side import SideBySide

HISTORY_LENGTH = 4

SELLER, ANN, BEN, CAT, DAN = (str(UUID(int=number)) for number in range(1, 6))
FIRST, SECOND = str(UUID(int=101)), str(UUID(int=102))
"""Actions that extend."""
BASE = 1_800_000_000_000
OPENS_AT, ENDS_AT, LATEST_END = BASE + 10_000, BASE + 100_000, BASE + 130_000
BEFORE_WINDOW, IN_WINDOW = ENDS_AT - 10_001, ENDS_AT - 10_000

STATE = BiddingState(
    epoch=3,
    seller=SELLER,
    opens_at=OPENS_AT,
    ends_at=ENDS_AT,
    start_price=1_000,
    steps=(IncrementStep(0, 100), IncrementStep(2_000, 250), IncrementStep(5_000, 500)),
    soft_close=SoftCloseRule(window_ms=10_000, extension_ms=15_000, latest_end=LATEST_END),
    paddles={
        SELLER: BidderPaddle(9, 50_000),
        ANN: BidderPaddle(5, 20_000),
        BEN: BidderPaddle(7, 15_000),
        CAT: BidderPaddle(8, 1),
        DAN: BidderPaddle(2, 0),
    },
)


def proxy_bidding(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 999, "below_the_start")
    auction.bid(ANN, 1_900, "a1")
    auction.bid(BEN, 1_099, "b0")
    auction.bid(BEN, 1_100, "b1")
    auction.bid(BEN, 1_850, "b2")
    auction.bid(BEN, 1_900, "tie")
    auction.bid(BEN, 2_000, "at_the_minimum")
    auction.bid(ANN, 2_249, "below_the_next_step")
    auction.bid(ANN, 6_000, "a2")
    auction.bid(BEN, 5_000, "to_the_last_step")
    auction.bid(BEN, 9_000, "b3")
    auction.bid(BEN, 9_000, "own_maximum")
    auction.bid(BEN, 9_001, "raise")
    auction.bid(ANN, 9_250, "above_by_less_than_a_step")


def answers(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 3_000, "one")
    auction.bid(BEN, 4_000, "one")
    auction.bid(ANN, 3_000, "one")
    auction.bid(ANN, 3_001, "one")
    auction.bid(ANN, 5_000, "two", epoch=STATE.epoch)
    auction.bid(ANN, 3_000, "one", epoch=99)
    auction.set_clock(ENDS_AT)
    auction.bid(ANN, 3_000, "one")
    auction.bid(ANN, 9_000, "late")


def refusals(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(OPENS_AT - 1)
    auction.bid(ANN, 5_000, "early", epoch=99)
    auction.bid(ANN, 5_000, "early")
    auction.bid(SELLER, 5_000, "early")
    auction.set_clock(OPENS_AT)
    auction.bid(SELLER, 5_000, "own")
    auction.bid(DAN, 5_000, "given_back")
    auction.bid(str(UUID(int=77)), 5_000, "no_paddle")
    auction.bid(CAT, 2, "over_limit_and_below_minimum")
    auction.bid(CAT, 1, "below_minimum")
    auction.bid(ANN, 20_001, "over_limit")
    for epoch in (1, 2, 4, -1):
        auction.bid(ANN, 5_000, "stale", epoch=epoch)
    auction.bid(ANN, 20_000, "at_the_limit", epoch=3)
    auction.bid(SELLER, 50_000, "own")
    auction.set_clock(ENDS_AT)
    auction.bid(BEN, 15_000, "closed", epoch=99)


def mirrors(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(OPENS_AT)
    auction.bid(ANN, 5_000, "one")
    auction.make_a_copy()
    auction.bid(ANN, 5_000, "one")
    auction.bid(ANN, 6_000, "two")
    auction.buy_now(BEN, "three")
    auction.set_clock(ENDS_AT)
    auction.bid(ANN, 6_000, "two")


def soft_close(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BEFORE_WINDOW)
    auction.bid(ANN, 2_000, "before_the_window")
    auction.set_clock(IN_WINDOW)
    auction.bid(BEN, 1_000, "refused")
    auction.bid(BEN, 3_000, "in_the_window")
    auction.set_clock(ENDS_AT - 1)
    auction.bid(ANN, 4_000, "extended_again")
    auction.set_clock(ENDS_AT + 5_000)
    auction.bid(BEN, 5_000, "a_third_time")
    auction.set_clock(ENDS_AT + 15_000)
    auction.bid(ANN, 6_000, "to_the_latest_end")
    auction.set_clock(LATEST_END - 1)
    auction.bid(BEN, 7_000, "no_further")
    auction.seal()
    auction.set_clock(LATEST_END)
    auction.bid(ANN, 9_000, "closed")
    auction.seal()


def short_extension(auction: SideBySide) -> None:
    auction.load(replace(STATE, soft_close=SoftCloseRule(10_000, 5_000, LATEST_END)))
    auction.set_clock(ENDS_AT - 5_001)
    auction.bid(ANN, 2_000, "ends_no_sooner")
    auction.set_clock(ENDS_AT - 5_000)
    auction.bid(BEN, 3_000, "ends_at_the_same_time")
    auction.set_clock(ENDS_AT - 4_999)
    auction.bid(ANN, 4_000, "ends_1_ms_later")


def no_soft_close(auction: SideBySide) -> None:
    auction.load(replace(STATE, soft_close=SoftCloseRule(0, 15_000, LATEST_END)))
    auction.set_clock(ENDS_AT - 1)
    auction.bid(ANN, 2_000, "last_moment")


def sealing(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    for number, amount in enumerate(range(2_000, 9_000, 1_000)):
        auction.bid((ANN, BEN)[number % 2], amount, f"bid{number}")
    auction.set_clock(ENDS_AT - 1)
    auction.seal()
    auction.set_clock(ENDS_AT)
    auction.seal()
    auction.set_clock(ENDS_AT + 5)
    auction.seal()
    auction.bid(BEN, 15_000, "after_the_seal")
    auction.put_paddle(ANN, 5, 30_000, 2)
    auction.set_clock(BASE + 30_000)
    auction.bid(BEN, 15_000, "the_clock_went_back")
    auction.postpone_end_by_hand(ENDS_AT + 60_000)
    auction.bid(BEN, 15_000, "a_seal_is_final")
    auction.seal()


def sealing_unsold(auction: SideBySide) -> None:
    auction.load(replace(STATE, paddles={}))
    auction.set_clock(ENDS_AT + 7)
    auction.seal()
    auction.put_paddle(ANN, 5, 30_000, 1)


def reserve(auction: SideBySide) -> None:
    auction.load(replace(STATE, reserve=5_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 3_000, "below")
    auction.bid(BEN, 4_000, "still_below")
    auction.bid(ANN, 5_000, "reaches_it")
    auction.bid(ANN, 5_200, "met_before")
    auction.bid(BEN, 6_000, "met_for_long")


def reserve_reached_by_the_first_bid(auction: SideBySide) -> None:
    auction.load(replace(STATE, reserve=5_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 5_000, "reaches_it")
    auction.set_clock(ENDS_AT)
    auction.seal()


def reserve_reached_by_the_leader(auction: SideBySide) -> None:
    auction.load(replace(STATE, reserve=5_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 4_999, "below")
    auction.bid(ANN, 9_000, "above")


def reserve_not_met(auction: SideBySide) -> None:
    auction.load(replace(STATE, reserve=5_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 4_999, "below")
    auction.bid(BEN, 4_999, "the_same")
    auction.set_clock(ENDS_AT)
    auction.seal()
    auction.put_paddle(ANN, 5, 0, 2)


def reserve_met_in_another_life(auction: SideBySide) -> None:
    """What is loaded may have any price: the seal looks at the price alone."""
    for number, price in enumerate((4_999, 5_000)):
        auction.reset()
        auction.load(replace(STATE, reserve=5_000, price=price, lead=Lead(ANN, 5, 9_000), bids=1, seq=number))
        auction.set_clock(ENDS_AT)
        auction.seal()


def buying_at_once(auction: SideBySide) -> None:
    auction.load(replace(STATE, buy_now_price=6_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 7_000, "ahead")
    auction.bid(BEN, 6_000, "other")
    auction.reset()
    auction.load(replace(STATE, buy_now_price=6_000))
    auction.set_clock(IN_WINDOW)
    auction.bid(ANN, 3_000, "ahead")
    auction.bid(BEN, 2_000, "behind")
    auction.buy_now(BEN, "behind")
    auction.buy_now(BEN, "mine")
    auction.set_clock(IN_WINDOW + 5)
    auction.buy_now(BEN, "mine")
    auction.buy_now(BEN, "mine", epoch=99)
    auction.bid(BEN, 6_000, "mine")
    auction.buy_now(ANN, "late")
    auction.bid(ANN, 9_000, "late")
    auction.seal()
    auction.put_paddle(BEN, 7, 5_999, 2)
    auction.put_paddle(BEN, 7, 6_000, 2)
    auction.read(1)


def buying_before_anybody_bids(auction: SideBySide) -> None:
    auction.load(replace(STATE, buy_now_price=1_001, reserve=1_001))
    auction.set_clock(OPENS_AT - 1)
    auction.buy_now(ANN, "early")
    auction.set_clock(OPENS_AT)
    auction.buy_now(ANN, "at_the_opening")


def buying_as_the_leader(auction: SideBySide) -> None:
    auction.load(replace(STATE, buy_now_price=6_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 9_000, "ahead")
    auction.buy_now(ANN, "below_your_own_maximum")


def buying_when_the_clock_stepped_back(auction: SideBySide) -> None:
    auction.load(replace(STATE, buy_now_price=6_000))
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 9_000, "ahead")
    auction.set_clock(BASE)
    auction.buy_now(BEN, "mine")


def refused_purchases(auction: SideBySide) -> None:
    auction.buy_now(ANN, "no_state")
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    auction.buy_now(ANN, "never_offered")
    auction.reset()
    auction.load(replace(STATE, buy_now_price=20_000))
    auction.set_clock(BASE + 20_000)
    for bidder in (SELLER, DAN, str(UUID(int=77)), CAT, BEN):
        auction.buy_now(bidder, "refused")
    auction.buy_now(ANN, "stale", epoch=2)
    auction.set_clock(ENDS_AT)
    auction.buy_now(ANN, "closed")
    auction.set_clock(ENDS_AT - 1)
    auction.buy_now(ANN, "at_the_limit", epoch=STATE.epoch)


def bought_out_by_bids(auction: SideBySide) -> None:
    """The next minimum comes up to the price at which it can be bought, and above it."""
    for ahead, behind in ((4_000, 2_250), (4_000, 2_251)):
        auction.reset()
        auction.load(replace(STATE, buy_now_price=2_600))
        auction.set_clock(BASE + 20_000)
        auction.bid(ANN, ahead, "ahead")
        auction.bid(BEN, behind, "behind")
        auction.buy_now(BEN, "mine")


def bought_until_the_first_bid(auction: SideBySide) -> None:
    for bids_before in (0, 1):
        auction.reset()
        auction.load(replace(STATE, buy_now_price=6_000, buy_now_until=BuyNowUntil.FIRST_BID))
        auction.set_clock(BASE + 20_000)
        for number in range(bids_before):
            auction.bid(ANN, 2_000, f"bid{number}")
        auction.buy_now(BEN, "mine")


def bought_until_the_reserve_is_met(auction: SideBySide) -> None:
    for maximum in (2_999, 3_000):
        auction.reset()
        auction.load(
            replace(STATE, reserve=3_000, buy_now_price=6_000, buy_now_until=BuyNowUntil.RESERVE_MET)
        )
        auction.set_clock(BASE + 20_000)
        auction.bid(ANN, maximum, "ahead")
        auction.buy_now(BEN, "mine")


def cancelling(auction: SideBySide) -> None:
    for force in (False, True):
        auction.reset()
        auction.load(STATE)
        auction.set_clock(BASE)
        auction.cancel(force)
        auction.set_clock(BASE + 20_000)
        auction.bid(ANN, 5_000, "after_it")
        auction.cancel(force)
        auction.put_paddle(ANN, 5, 0, 2)
        auction.set_clock(ENDS_AT)
        auction.seal()
        auction.bid(ANN, 5_000, "long_after_it")


def cancelling_with_bids(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 5_000, "one")
    auction.set_clock(BASE)
    auction.cancel(force=False)
    auction.cancel(force=True)
    auction.bid(ANN, 5_000, "one")
    auction.bid(BEN, 9_000, "after_it")
    auction.buy_now(BEN, "after_it")


def cancelling_what_is_over(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(ENDS_AT)
    auction.cancel(force=False)
    auction.reset()
    auction.load(STATE)
    auction.set_clock(ENDS_AT)
    auction.seal()
    for force in (False, True):
        auction.cancel(force)


def extending(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(IN_WINDOW)
    auction.bid(ANN, 2_000, "to_the_window")
    auction.extend(FIRST, 60_000)
    auction.set_clock(IN_WINDOW + 999)
    auction.extend(FIRST, 60_000)
    auction.extend(SECOND, 1)
    auction.extend(FIRST, 60_000)
    auction.set_clock(BASE)
    for number in range(HISTORY_LENGTH):
        auction.extend(str(UUID(int=200 + number)), 1)
    auction.set_clock(ENDS_AT + 15_000)
    auction.bid(BEN, 3_000, "not_over_yet")
    auction.set_clock(LATEST_END + 60_000)
    auction.bid(ANN, 4_000, "after_the_former_latest_end")
    auction.read(0)
    auction.read(8)


def extending_past_the_end(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(ENDS_AT + 30_000)
    auction.bid(ANN, 2_000, "over")
    auction.extend(FIRST, 60_000)
    auction.bid(ANN, 2_000, "goes_on")
    auction.seal()
    auction.set_clock(LATEST_END + 60_000)
    auction.seal()
    auction.extend(FIRST, 60_000)
    auction.extend(SECOND, 60_000)
    auction.set_clock(BASE)
    auction.extend(SECOND, 60_000)


def extended_in_another_life(auction: SideBySide) -> None:
    auction.load(replace(STATE, extended_by=frozenset((FIRST, SECOND))))
    auction.set_clock(BASE + 20_000)
    auction.extend(SECOND, 5)
    auction.cancel(force=False)
    auction.extend(FIRST, 5)
    auction.extend(str(UUID(int=103)), 5)


def clock_steps_back(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000, microseconds=0)
    auction.bid(ANN, 2_000, "a1")
    auction.set_clock(BASE)
    auction.bid(BEN, 3_000, "b1")
    auction.bid(BEN, 3_000, "refused")
    auction.seal()
    auction.set_clock(BASE + 20_001, microseconds=999)
    auction.bid(ANN, 4_000, "a2")
    auction.set_clock(ENDS_AT - 1)
    auction.bid(BEN, 5_000, "late")
    auction.set_clock(BASE)
    auction.bid(ANN, 7_000, "extends")
    auction.postpone_end_by_hand(ENDS_AT - 1)
    auction.seal()


def paddles(auction: SideBySide) -> None:
    auction.load(STATE)
    auction.set_clock(BASE + 20_000)
    auction.put_paddle(str(UUID(int=77)), 11, 4_000, 1)
    auction.bid(str(UUID(int=77)), 4_000, "new")
    auction.put_paddle(ANN, 5, 30_000, 1)
    auction.put_paddle(ANN, 5, 30_000, 3)
    auction.put_paddle(ANN, 5, 10_000, 2)
    auction.bid(ANN, 30_000, "raised")
    auction.put_paddle(ANN, 5, 29_999, 4)
    auction.put_paddle(ANN, 5, 30_000, 4)
    auction.put_paddle(ANN, 5, 40_000, 5)
    auction.put_paddle(ANN, 5, 0, 6)
    auction.put_paddle(BEN, 7, 0, 2)
    auction.put_paddle(BEN, 7, 0, 10)
    auction.put_paddle(BEN, 7, 50_000, 9)
    auction.bid(BEN, 31_000, "given_back")
    auction.put_paddle(BEN, 7, 50_000, 11)
    auction.bid(BEN, 50_000, "taken_again")


def largest_amounts(auction: SideBySide) -> None:
    rich = {bidder: BidderPaddle(number, MAX_AMOUNT) for number, bidder in enumerate((ANN, BEN, CAT), 1)}
    auction.load(
        replace(STATE, paddles=rich, steps=(IncrementStep(0, MAX_AMOUNT),), start_price=MAX_AMOUNT - 1)
    )
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, MAX_AMOUNT - 1, "a1")
    auction.bid(BEN, MAX_AMOUNT - 1, "below")
    auction.bid(BEN, MAX_AMOUNT, "b1")
    auction.bid(CAT, MAX_AMOUNT, "tie")
    auction.bid(BEN, MAX_AMOUNT, "own")


def no_state(auction: SideBySide) -> None:
    auction.set_clock(BASE)
    for mark in (auction.mark_ready, auction.mark_mirrored, lambda: None):
        auction.bid(ANN, 2_000, "a1")
        auction.seal()
        auction.cancel(force=False)
        auction.extend(FIRST, 1)
        auction.put_paddle(ANN, 5, 30_000, 2)
        auction.read(0)
        mark()


def only_copies(auction: SideBySide) -> None:
    auction.mark_mirrored()
    auction.set_clock(BASE)
    auction.read(0)


def reading(auction: SideBySide) -> None:
    auction.load(replace(STATE, seq=10))
    auction.set_clock(BASE + 20_999)
    for number, amount in enumerate(range(2_000, 9_000, 1_000)):
        auction.read(10)
        auction.bid((ANN, BEN)[number % 2], amount, f"bid{number}")
    for after in (0, 12, 13, 16, 17, 18):
        auction.read(after)
    auction.set_clock(ENDS_AT)
    auction.seal()
    auction.read(17)


def loading(auction: SideBySide) -> None:
    auction.leave_remains()
    auction.load(STATE, log_position="9800000000000-7")
    auction.set_clock(BASE + 20_000)
    auction.bid(ANN, 2_000, "behind_the_position")
    auction.load(replace(STATE, epoch=4, ends_at=ENDS_AT + 5))
    auction.lose_auction()
    auction.load(replace(STATE, epoch=4, seq=1, ends_at=ENDS_AT + 5), log_position="9800000000000-7")
    auction.bid(BEN, 2_000, "another_epoch", epoch=4)


SCENARIOS: tuple[Callable[[SideBySide], None], ...] = (
    proxy_bidding,
    answers,
    refusals,
    mirrors,
    soft_close,
    short_extension,
    no_soft_close,
    sealing,
    sealing_unsold,
    reserve,
    reserve_reached_by_the_first_bid,
    reserve_reached_by_the_leader,
    reserve_not_met,
    reserve_met_in_another_life,
    buying_at_once,
    buying_before_anybody_bids,
    buying_as_the_leader,
    buying_when_the_clock_stepped_back,
    refused_purchases,
    extending,
    extending_past_the_end,
    extended_in_another_life,
    cancelling,
    cancelling_with_bids,
    cancelling_what_is_over,
    bought_out_by_bids,
    bought_until_the_first_bid,
    bought_until_the_reserve_is_met,
    clock_steps_back,
    paddles,
    largest_amounts,
    no_state,
    only_copies,
    reading,
    loading,
)
