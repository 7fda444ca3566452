"""The scripts of `store/lua/` and the rules of `market/rules.py` decide alike."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from market import rules
from market.rules import MAX_AMOUNT, BidderPaddle, BiddingState, BuyNowUntil, IncrementStep, SoftCloseRule
from store.redis import auctions, clients, scripts
from tests.support.scenarios import (
    ANN,
    BASE,
    BEN,
    CAT,
    DAN,
    HISTORY_LENGTH,
    SCENARIOS,
    SELLER,
)
from tests.support.side_by_side import CLOCK_PRELUDE, SideBySide

BIDDERS = (ANN, BEN, CAT, DAN)
STRANGER = str(UUID(int=99))
PADDLE_NUMBERS = {bidder: number for number, bidder in enumerate((*BIDDERS, STRANGER, SELLER), 1)}
ACTIONS = [str(UUID(int=number)) for number in range(101, 107)]
STEPS_COMPARED_AT_LEAST = 20
"""Of the 50 of an auction, on average: setting the clock and what has no object yet do not count."""


@pytest.fixture
def auction(sync_hot: clients.SyncHot, monkeypatch: pytest.MonkeyPatch) -> Iterator[SideBySide]:
    monkeypatch.setattr(auctions, "HISTORY_LENGTH", HISTORY_LENGTH)
    with SideBySide(sync_hot, scripts.load_scripts(CLOCK_PRELUDE)) as both:
        yield both


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_scripts_and_rules_agree_on_a_known_auction(
    auction: SideBySide, scenario: Callable[[SideBySide], None]
) -> None:
    scenario(auction)


class AnyAuction(RuleBasedStateMachine):
    """Whatever happens to an auction, in whatever order, happens alike in both worlds."""

    both: SideBySide

    def __init__(self) -> None:
        super().__init__()
        self.both.reset()
        self.both.set_clock(BASE + 1)
        self.both.mark_ready()
        self.epoch = 0

    @property
    def state(self) -> BiddingState:
        assert self.both.state
        return self.both.state

    @property
    def on_offer(self) -> bool:
        return not self.state.sealed and rules.buy_now(self.state) > 0

    @initialize(data=st.data())
    def new_auction(self, data: st.DataObject) -> None:
        self.epoch += 1
        self.both.load(data.draw(new_auctions(self.epoch)))

    @precondition(lambda self: self.state.sealed)
    @rule(data=st.data())
    def next_auction(self, data: st.DataObject) -> None:
        self.both.reset()
        self.both.set_clock(BASE + 1)
        self.new_auction(data)

    @precondition(lambda self: not self.state.sealed)
    @rule()
    def lost_and_loaded_again(self) -> None:
        """Redis lost all; PostgreSQL knows the auction, but neither the answers nor the clock of decisions."""
        self.epoch += 1
        state, now = self.state, self.both.now
        self.both.reset()
        self.both.set_clock(now)
        self.both.load(replace(state, epoch=self.epoch, decided_at=0, answers={}))

    @rule(
        bidder=st.sampled_from(BIDDERS * 3 + (SELLER, STRANGER)),
        anchor=st.sampled_from(
            [
                "minimum",
                "minimum",
                "own limit",
                "lead",
                "lead",
                "step",
                "reserve",
                "buy now",
                "any",
                "largest",
            ]
        ),
        offset=st.sampled_from([0, 0, 1, 7, 100, -1]),
        any_amount=st.integers(1, MAX_AMOUNT),
        epoch_from_now=st.sampled_from([None] * 9 + [0, 1, -1]),
    )
    def bid(self, bidder: str, anchor: str, offset: int, any_amount: int, epoch_from_now: int | None) -> None:
        epoch = 0 if epoch_from_now is None else self.epoch + epoch_from_now
        self._bid(bidder, self._amount(bidder, anchor, any_amount) + offset, f"r{self.state.seq}", epoch)

    @rule(bidder=st.sampled_from(BIDDERS), offset=st.sampled_from([0, 50, 100, 5_000]))
    def compete(self, bidder: str, offset: int) -> None:
        """An ordinary bid."""
        self._bid(bidder, rules.next_minimum(self.state) + offset, f"r{self.state.seq}")

    @rule(bidder=st.sampled_from(BIDDERS), left_ms=st.sampled_from([1, 499, 500, 501]))
    def compete_in_the_last_moment(self, bidder: str, left_ms: int) -> None:
        self.both.set_clock(self.state.ends_at - left_ms)
        self._bid(bidder, rules.next_minimum(self.state) + 1, f"r{self.state.seq}")

    @rule(by=st.sampled_from([1, 50, 0, -1]))
    def raise_own_maximum(self, by: int) -> None:
        if self.state.lead:
            self._bid(self.state.lead.bidder, self.state.lead.maximum + by, f"r{self.state.seq}")

    @precondition(lambda self: self.on_offer)
    @rule(by=st.sampled_from([-1, 0, 1]))
    def bid_up_to_the_buy_now_price(self, by: int) -> None:
        """Two bidders bring the next minimum near the price at which it can be bought."""
        steps, price = self.state.steps, self.state.buy_now_price
        wanted = price - rules.increment(steps, price) + by
        for bidder in (ANN, BEN):
            self._bid(bidder, max(wanted, 1), f"r{self.state.seq}")

    @rule(
        bidder=st.sampled_from(BIDDERS * 3 + (SELLER, STRANGER)),
        epoch_from_now=st.sampled_from([None] * 9 + [0, 1, -1]),
    )
    def buy_now(self, bidder: str, epoch_from_now: int | None) -> None:
        epoch = 0 if epoch_from_now is None else self.epoch + epoch_from_now
        self.both.buy_now(bidder, f"r{self.state.seq}", max(epoch, 0))

    @precondition(lambda self: self.state.lead is not None and self.on_offer)
    @rule(bidder=st.sampled_from(BIDDERS), short=st.sampled_from([0, 0, 1]))
    def buy_with_money_enough_or_one_less(self, bidder: str, short: int) -> None:
        self.both.set_clock(min(max(self.both.now, self.state.opens_at), self.state.ends_at - 1))
        version = self.both.versions.get(bidder, 0) + 1
        self.both.put_paddle(bidder, PADDLE_NUMBERS[bidder], rules.buy_now(self.state) - short, version)
        self.both.buy_now(bidder, f"r{self.state.seq}")

    @rule(choice=st.integers(0, 99), offset=st.sampled_from([0, 0, 1, -1, None]))
    def offer_again(self, choice: int, offset: int | None) -> None:
        """The same `ref`, with the same or another maximum, or (None) for a purchase."""
        if self.state.answers:
            earlier = list(self.state.answers.values())[choice % len(self.state.answers)]
            if offset is None:
                self.both.buy_now(earlier.bidder, earlier.ref)
            else:
                self._bid(earlier.bidder, earlier.maximum + offset, earlier.ref)

    @rule(
        bidder=st.sampled_from((*BIDDERS, STRANGER)),
        limit=st.sampled_from(["none", "lead", "minimum", "any", "largest"]),
        offset=st.sampled_from([-1, 0, 1, 500]),
        any_amount=st.integers(1, MAX_AMOUNT),
        newer=st.sampled_from([1, 1, 1, 2, 0, -1]),
    )
    def paddle(self, bidder: str, limit: str, offset: int, any_amount: int, newer: int) -> None:
        amount = 0 if limit == "none" else self._amount(bidder, limit, any_amount) + offset
        number = PADDLE_NUMBERS[bidder]
        version = max(self.both.versions.get(bidder, 0) + newer, 1)
        self.both.put_paddle(bidder, number, min(max(amount, 0), MAX_AMOUNT), version)

    @rule(
        anchor=st.sampled_from(
            ["now"] * 4 + ["middle"] * 2 + ["window"] * 2 + ["opening", "end", "latest end"]
        ),
        offset=st.sampled_from([1, 0, -1, 500, -500]),
        microseconds=st.sampled_from([0, 1, 500, 999]),
    )
    def clock(self, anchor: str, offset: int, microseconds: int) -> None:
        """Forward or backward."""
        at = {
            "now": self.both.now,
            "middle": BASE + 60_000,
            "opening": self.state.opens_at,
            "window": self.state.ends_at - self.state.soft_close.window_ms,
            "end": self.state.ends_at,
            "latest end": self.state.soft_close.latest_end,
        }[anchor]
        self.both.set_clock(at + offset, microseconds)

    @rule(late_ms=st.sampled_from([None, None, -1, 0, 5]))
    def seal(self, late_ms: int | None) -> None:
        if late_ms is not None:
            self.both.set_clock(self.state.ends_at + late_ms)
        self.both.seal()

    @rule(action=st.sampled_from(ACTIONS), by_ms=st.sampled_from([1, 400, 5_000]))
    def extend(self, action: str, by_ms: int) -> None:
        self.both.extend(action, by_ms)

    @rule(force=st.booleans(), wanted=st.sampled_from([False, False, False, True]))
    def cancel(self, force: bool, wanted: bool) -> None:
        """Rarely what ends the auction: there would be little left to compare."""
        if wanted or (not force and self.state.bids):
            self.both.cancel(force)

    @rule(behind=st.integers(-1, 9))
    def read(self, behind: int) -> None:
        self.both.read(max(self.state.seq - behind, 0))

    def _bid(self, bidder: str, maximum: int, ref: str, epoch: int = 0) -> None:
        self.both.bid(bidder, min(max(maximum, 1), MAX_AMOUNT), ref, max(epoch, 0))

    def _amount(self, bidder: str, anchor: str, any_amount: int) -> int:
        """An amount near which decisions change."""
        state = self.state
        paddle = state.paddles.get(bidder)
        return {
            "minimum": rules.next_minimum(state),
            "own limit": paddle.limit if paddle else 1,
            "lead": state.lead.maximum if state.lead else state.start_price,
            "step": state.steps[-1].from_price,
            "reserve": state.reserve,
            "buy now": state.buy_now_price,
            "any": any_amount,
            "largest": MAX_AMOUNT,
        }[anchor]


@st.composite
def new_auctions(draw: st.DrawFn, epoch: int) -> BiddingState:
    """An auction before its first bid: prices small or near the largest, any increments, any soft close, with or
    without a reserve and a price at which it can be bought."""
    start_price = draw(st.sampled_from([1, 100, 1_000, MAX_AMOUNT - 300, MAX_AMOUNT]))
    increments = st.sampled_from([1, 50, 100, 2**40, MAX_AMOUNT])
    steps = [IncrementStep(0, draw(increments))]
    for from_price in draw(st.sampled_from([(), (500,), (1_000, 1_200), (MAX_AMOUNT - 100,)])):
        steps.append(IncrementStep(from_price, draw(increments)))
    ends_at = BASE + 100_000
    reserve = draw(st.sampled_from([0, 0, 1, 350, 2_500]))
    reserve = min(start_price + reserve, MAX_AMOUNT) if reserve else 0
    above = draw(st.sampled_from([0, 1, 400, 5_000, 2**45, 2**52]))
    buy_now_price = min(max(start_price, reserve) + above, MAX_AMOUNT - 1) if above else 0
    return BiddingState(
        epoch=epoch,
        seller=SELLER,
        opens_at=BASE + draw(st.sampled_from([-1_000, 0, 1, 50_000])),
        ends_at=ends_at,
        start_price=start_price,
        steps=tuple(steps),
        soft_close=SoftCloseRule(
            window_ms=draw(st.sampled_from([500, 200_000, 0])),
            extension_ms=draw(st.sampled_from([200_000, 1_000, 501, 500, 499])),
            latest_end=ends_at + draw(st.sampled_from([10_000_000, 700, 1, 0])),
        ),
        reserve=reserve,
        buy_now_price=buy_now_price,
        buy_now_until=draw(st.sampled_from([*BuyNowUntil, BuyNowUntil.ALWAYS, BuyNowUntil.RESERVE_MET])),
        paddles={
            bidder: BidderPaddle(
                PADDLE_NUMBERS[bidder], draw(st.sampled_from([MAX_AMOUNT, MAX_AMOUNT, 1_500, 0]))
            )
            for bidder in draw(st.sampled_from([(*BIDDERS, SELLER), (*BIDDERS, SELLER), BIDDERS[:2]]))
        },
    )


@pytest.mark.timeout(0)
def test_scripts_and_rules_agree_on_any_auction(
    auction: SideBySide, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = request.config.getoption("--state-machine-steps", default=2000)
    given_seed = request.config.getoption("--hypothesis-seed")
    chosen = random.randrange(2**32) if given_seed is None else int(given_seed)
    terminal = request.config.get_terminal_writer()
    with capsys.disabled():
        terminal.line(f"\nto repeat the state machine: --hypothesis-seed={chosen}")
    AnyAuction.both = auction
    run_state_machine_as_test(
        seed(chosen)(AnyAuction),
        settings=settings(
            max_examples=wanted // STEPS_COMPARED_AT_LEAST,
            stateful_step_count=50,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        terminal.line(f"{auction.compared} steps of scripts and rules compared")
    assert auction.compared >= wanted
