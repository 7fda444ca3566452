"""The rules of an English auction with proxy bidding, reserve and buy-now: the specification, pure and small.

`decide` says what an offer does to an auction, `apply` makes it so, `extend` moves the end for an outage, `seal` ends
the auction, and `cancel` ends it with no winner. A purchase moves the end to its moment, so the caller that applies one
seals in the same step. Nothing here reads a clock or does I/O. `place_bid.lua`, `seal_auction.lua` and
`extend_auction.lua` of `store/lua/` decide in production and must agree with this module on every sequence of bids;
`tests/store/redis/test_scripts_agree.py` drives both side by side.

Amounts are integers in minor units of the currency, 1 to `MAX_AMOUNT`. Times are integers, ms since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

MAX_AMOUNT = 2**53 - 1
"""The largest integer that Lua and JavaScript represent exactly."""


class Code(StrEnum):
    """Why an offer is refused. The codes are part of the protocol."""

    UNKNOWN_AUCTION = "unknown_auction"
    UNAVAILABLE = "unavailable"
    WRONG_KIND = "wrong_kind"
    REF_REUSED = "ref_reused"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    STALE_EPOCH = "stale_epoch"
    NOT_OPEN = "not_open"
    OWN_AUCTION = "own_auction"
    NO_PADDLE = "no_paddle"
    OVER_LIMIT = "over_limit"
    NOT_ABOVE_OWN_MAXIMUM = "not_above_own_maximum"
    BELOW_MINIMUM = "below_minimum"
    NO_BUY_NOW = "no_buy_now"


class BuyNowUntil(StrEnum):
    """What ends the offer to buy at once, besides bids that have come as high."""

    FIRST_BID = "first_bid"
    RESERVE_MET = "reserve_met"
    ALWAYS = "always"
    """Nothing else."""


@dataclass(frozen=True, slots=True)
class IncrementStep:
    """From the price `from_price` on, the increment is `increment`."""

    from_price: int
    increment: int


@dataclass(frozen=True, slots=True)
class SoftCloseRule:
    """A bid within `window_ms` of the end moves the end to `extension_ms` after the bid, never past `latest_end`."""

    window_ms: int
    extension_ms: int
    latest_end: int


@dataclass(frozen=True, slots=True)
class BidderPaddle:
    """The right to bid up to `limit` under `number`. A limit of 0 means that the paddle was given back."""

    number: int
    limit: int


@dataclass(frozen=True, slots=True)
class Lead:
    """Who leads, and the hidden maximum that defends the lead."""

    bidder: str
    paddle: int
    maximum: int


@dataclass(frozen=True, slots=True)
class BidOffer:
    """An offer to pay at most `maximum`. A plain bid of an amount is a maximum of that amount.

    `ref` is the bidder's own name for this bid: sent again, it gets the first answer again. `epoch` is the epoch of
    the auction that the bidder has seen, or 0 for any.
    """

    bidder: str
    ref: str
    maximum: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class PurchaseOffer:
    """An offer to buy at once, for exactly what that costs. `ref` and `epoch` as in a bid."""

    bidder: str
    ref: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class AcceptedOffer:
    """What an accepted offer did: the record that goes into the log, is published and answers the bidder.

    `outbid` is the bidder who lost the lead by it, or "". `leader_maximum` and `maximum` are secret. `bought` tells a
    purchase from a bid. `reserve_met` and `buy_now` are what the functions of these names say afterwards.
    """

    epoch: int
    seq: int
    at: int
    bidder: str
    paddle: int
    ref: str
    maximum: int
    price: int
    leader: str
    leader_paddle: int
    leader_maximum: int
    outbid: str
    next_minimum: int
    ends_at: int
    extended: bool
    bids: int
    bought: bool
    reserve_met: bool
    buy_now: int


@dataclass(frozen=True, slots=True)
class RejectedOffer:
    """A refused offer. It changed nothing, in particular not the end of the auction."""

    code: Code


@dataclass(frozen=True, slots=True)
class Sealed:
    """The end of an auction. `price` is what it reached, 0 when nobody bid. `leader` is the winner, who pays that; ""
    when nobody bid, the reserve was not met or it was cancelled, which may be before `ends_at`."""

    epoch: int
    seq: int
    at: int
    ends_at: int
    price: int
    leader: str
    leader_paddle: int
    bids: int
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class AcceptedExtension:
    """The end of an auction, and the latest that bids may move it to, were moved by the action of this name."""

    epoch: int
    seq: int
    at: int
    action: str
    ends_at: int
    latest_end: int


@dataclass(frozen=True, slots=True)
class SealTooEarly:
    """The auction may not be sealed before `ends_at`."""

    ends_at: int


@dataclass(frozen=True, slots=True)
class BiddingState:
    """A running auction. `price` is 0 while nobody has bid; `decided_at` is the time of the last decision.

    `reserve` is the secret price below which it is not sold, `buy_now_price` what it costs to buy at once: each above
    the start price, or 0 for none; `buy_now_price` at least the reserve and below `MAX_AMOUNT`.
    """

    epoch: int
    seller: str
    opens_at: int
    ends_at: int
    start_price: int
    steps: tuple[IncrementStep, ...]
    soft_close: SoftCloseRule
    reserve: int = 0
    buy_now_price: int = 0
    buy_now_until: BuyNowUntil = BuyNowUntil.ALWAYS
    seq: int = 0
    price: int = 0
    lead: Lead | None = None
    bids: int = 0
    decided_at: int = 0
    sealed: Sealed | None = None
    paddles: Mapping[str, BidderPaddle] = field(default_factory=dict)
    answers: Mapping[tuple[str, str], AcceptedOffer] = field(default_factory=dict)
    extended_by: frozenset[str] = frozenset()
    """The actions that have moved the end."""


def increment(steps: tuple[IncrementStep, ...], price: int) -> int:
    """The increment at `price`: that of the last step that starts at or below it. The first step starts at 0."""
    return [step.increment for step in steps if step.from_price <= price][-1]


def next_minimum(state: BiddingState) -> int:
    """The least maximum with which a challenger may bid now."""
    if state.lead is None:
        return state.start_price
    return min(state.price + increment(state.steps, state.price), MAX_AMOUNT)


def reserve_met(state: BiddingState) -> bool:
    """Whether the price suffices to sell; always so without a reserve."""
    return state.price >= state.reserve


def buy_now(state: BiddingState) -> int:
    """What it costs to buy at once now; 0 when that is not on offer, or not any more.

    Nobody can buy for less than the next bid would have to be.
    """
    gone = {
        BuyNowUntil.FIRST_BID: state.lead is not None,
        BuyNowUntil.RESERVE_MET: reserve_met(state),
        BuyNowUntil.ALWAYS: False,
    }
    if gone[state.buy_now_until] or next_minimum(state) > state.buy_now_price:
        return 0
    return state.buy_now_price


def decide(state: BiddingState, offer: BidOffer | PurchaseOffer, now: int) -> AcceptedOffer | RejectedOffer:
    """What `offer` does at `now`. A `ref` that was accepted before gets the same answer, whatever happened since."""
    if answer := state.answers.get((offer.bidder, offer.ref)):
        return answer if _asks_the_same(offer, answer) else RejectedOffer(Code.REF_REUSED)
    now = max(now, state.decided_at)  # a clock that steps back must not reorder the log
    buying = isinstance(offer, PurchaseOffer)
    maximum = buy_now(state) if isinstance(offer, PurchaseOffer) else offer.maximum
    if code := _refusal(state, offer, maximum, now):
        return RejectedOffer(code)

    paddle = state.paddles[offer.bidder]
    challenger = Lead(offer.bidder, paddle.number, maximum)
    price, lead = (maximum, challenger) if buying else _contest(state, challenger)
    ends_at = now if buying else _soft_close(state, now)
    after = replace(state, price=price, lead=lead)
    return AcceptedOffer(
        epoch=state.epoch,
        seq=state.seq + 1,
        at=now,
        bidder=offer.bidder,
        paddle=paddle.number,
        ref=offer.ref,
        maximum=maximum,
        price=price,
        leader=lead.bidder,
        leader_paddle=lead.paddle,
        leader_maximum=lead.maximum,
        outbid=state.lead.bidder if state.lead and state.lead.bidder != lead.bidder else "",
        next_minimum=next_minimum(after),
        ends_at=ends_at,
        extended=ends_at > state.ends_at,
        bids=state.bids + 1,
        bought=buying,
        reserve_met=reserve_met(after),
        buy_now=buy_now(after),
    )


def _asks_the_same(offer: BidOffer | PurchaseOffer, answer: AcceptedOffer) -> bool:
    """Whether the answer to an earlier offer of this `ref` answers this one."""
    if isinstance(offer, PurchaseOffer):
        return answer.bought
    return not answer.bought and answer.maximum == offer.maximum


def _refusal(state: BiddingState, offer: BidOffer | PurchaseOffer, maximum: int, now: int) -> Code | None:
    if state.sealed and state.sealed.cancelled:
        return Code.CANCELLED
    if state.sealed or now >= state.ends_at:
        return Code.CLOSED
    if offer.epoch not in (0, state.epoch):
        return Code.STALE_EPOCH
    if now < state.opens_at:
        return Code.NOT_OPEN
    if offer.bidder == state.seller:
        return Code.OWN_AUCTION
    paddle = state.paddles.get(offer.bidder)
    if paddle is None or paddle.limit == 0:
        return Code.NO_PADDLE
    if maximum > paddle.limit:
        return Code.OVER_LIMIT
    if isinstance(offer, PurchaseOffer):
        return None if maximum else Code.NO_BUY_NOW
    if state.lead and state.lead.bidder == offer.bidder:
        return None if maximum > state.lead.maximum else Code.NOT_ABOVE_OWN_MAXIMUM
    if maximum < next_minimum(state):
        return Code.BELOW_MINIMUM
    return None


def _contest(state: BiddingState, challenger: Lead) -> tuple[int, Lead]:
    """Price and leader after a valid bid. A maximum that reaches the reserve lifts the price to it."""
    price, lead = _proxy_contest(state, challenger)
    return (max(price, state.reserve) if lead.maximum >= state.reserve else price), lead


def _proxy_contest(state: BiddingState, challenger: Lead) -> tuple[int, Lead]:
    """Price and leader as two proxies bid against each other."""
    leader = state.lead
    if leader is None:
        return state.start_price, challenger
    if leader.bidder == challenger.bidder:
        return state.price, challenger
    step = increment(state.steps, state.price)
    if challenger.maximum > leader.maximum:
        return min(leader.maximum + step, challenger.maximum), challenger
    # At equal maxima this is the leader's maximum: the earlier bid stays ahead.
    return min(challenger.maximum + step, leader.maximum), leader


def _soft_close(state: BiddingState, now: int) -> int:
    """The end of the auction after a bid accepted at `now`."""
    soft = state.soft_close
    if state.ends_at - now > soft.window_ms:
        return state.ends_at
    return max(state.ends_at, min(now + soft.extension_ms, soft.latest_end))


def extend(state: BiddingState, action: str, by_ms: int, now: int) -> AcceptedExtension | None:
    """Move the end by `by_ms`, and the latest end with it; None if it is sealed, or this action has done it before.

    Also past its end: until it is sealed, an outage may just have kept it from ending.
    """
    if state.sealed or action in state.extended_by:
        return None
    return AcceptedExtension(
        epoch=state.epoch,
        seq=state.seq + 1,
        at=max(now, state.decided_at),
        action=action,
        ends_at=state.ends_at + by_ms,
        latest_end=state.soft_close.latest_end + by_ms,
    )


def apply(state: BiddingState, accepted: AcceptedOffer | AcceptedExtension) -> BiddingState:
    """The auction after a decision of `decide` or `extend`; unchanged when it answered a repeated `ref`."""
    if isinstance(accepted, AcceptedExtension):
        return replace(
            state,
            seq=accepted.seq,
            ends_at=accepted.ends_at,
            soft_close=replace(state.soft_close, latest_end=accepted.latest_end),
            decided_at=accepted.at,
            extended_by=state.extended_by | {accepted.action},
        )
    key = (accepted.bidder, accepted.ref)
    if key in state.answers:
        return state
    return replace(
        state,
        seq=accepted.seq,
        price=accepted.price,
        lead=Lead(accepted.leader, accepted.leader_paddle, accepted.leader_maximum),
        bids=accepted.bids,
        ends_at=accepted.ends_at,
        decided_at=accepted.at,
        answers={**state.answers, key: accepted},
    )


def seal(state: BiddingState, now: int) -> Sealed | SealTooEarly:
    """End the auction if its time has come. Sealing again gives the same seal."""
    if state.sealed:
        return state.sealed
    now = max(now, state.decided_at)
    if now < state.ends_at:
        return SealTooEarly(state.ends_at)
    return _sealed(state, now, state.lead if reserve_met(state) else None, cancelled=False)


def cancel(state: BiddingState, now: int, force: bool) -> Sealed | None:
    """End the auction at any time, with no winner; None if somebody has bid, unless forced.

    One that is sealed stays as it is: its seal is the answer, and says whether it was cancelled.
    """
    if state.sealed:
        return state.sealed
    if state.bids and not force:
        return None
    return _sealed(state, max(now, state.decided_at), None, cancelled=True)


def _sealed(state: BiddingState, now: int, winner: Lead | None, cancelled: bool) -> Sealed:
    return Sealed(
        epoch=state.epoch,
        seq=state.seq + 1,
        at=now,
        ends_at=state.ends_at,
        price=state.price,
        leader=winner.bidder if winner else "",
        leader_paddle=winner.paddle if winner else 0,
        bids=state.bids,
        cancelled=cancelled,
    )


def change_paddle(state: BiddingState, bidder: str, paddle: BidderPaddle) -> BiddingState | None:
    """Give, raise, lower or (limit 0) take back a paddle; None if the bidder leads with more than the new limit."""
    if state.lead and state.lead.bidder == bidder and paddle.limit < state.lead.maximum:
        return None
    return replace(state, paddles={**state.paddles, bidder: paddle})
