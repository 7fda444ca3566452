"""Settlement: what the hammer made of an auction becomes an order and money moves, in one transaction, once."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import case, func, literal, select, union_all, update
from sqlalchemy.orm import Session

from market import fees, work_queue
from market.bidding.refusals import BidRefusal
from market.errors import Refusal
from market.fees import SellerFee
from market.listings.auction_views import locked
from market.money import ledger
from market.notifications import notifications
from market.notifications.notifications import NewNotification, Value
from market.platform import alarms
from market.platform.alarms import Alarm, AlarmReason
from market.work_queue import Due
from store import effects
from store.effects import LogEvent, StartTask, ToUser
from store.ids import new_id
from store.models import (
    AccountKind,
    Auction,
    AuctionStatus,
    Bid,
    Event,
    Extension,
    Order,
    OrderState,
    Paddle,
    PaddleStatus,
    WriteBackAlarm,
)
from store.redis.pushes import OrderPush

_TIMEOUT_MS = 100_000
"""For a statement of a settlement: at 50,000 paddles one takes seconds, and on a busy server much longer."""

SELL = "sell"
"""The action that a push names when the hammer has made an order."""

TASK = "tasks.settlement.settle"
"""The task that settles an auction by its id."""

_PENDING = (PaddleStatus.ACTIVE, PaddleStatus.RETURNING)


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled auction. `order_id` is None when it was not sold; `released` counts the holds given back."""

    auction_id: UUID
    order_id: UUID | None
    released: int


def leave_to_worker(session: Session, auction_id: UUID) -> None:
    """Have an auction settled soon after the commit of its seal."""
    effects.after_commit(session, StartTask(TASK, str(auction_id)))


def claim_due(session: Session, after: Due | None) -> Due | None:
    """Lock the auction that `settle` should settle next: the first to be sealed behind `after`, without an alarm, that
    no other worker has locked. None if there is none."""
    return work_queue.claim(
        session,
        Auction.sealed_at,
        Auction.id,
        after,
        Auction.status == AuctionStatus.SEALED,
        ~select(WriteBackAlarm.id).where(WriteBackAlarm.auction_id == Auction.id).exists(),
    )


def settle(session: Session, auction_id: UUID) -> Settled | Alarm | None:
    """Capture the winner's hold to the order's escrow, release every other hold, and say so on the auction.

    None, and nothing changes, unless the auction is sealed, has no alarm and is not settled yet. What contradicts
    itself is noted as an alarm, which keeps the auction from being settled until a person has looked.
    """
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.SEALED or _has_alarm(session, auction_id):
        return None
    session.execute(select(func.set_config("statement_timeout", str(_TIMEOUT_MS), True)))
    alarm = _missing_bids(session, auction)
    if alarm is None:
        try:
            with session.begin_nested():
                settled = _move_money(session, auction)
        except Refusal as refusal:
            alarm = Alarm(auction_id, AlarmReason.MONEY_REFUSED, f"{refusal.code}: {refusal.detail}")
        else:
            _tell(session, auction, settled.order_id)
            fields = {
                "auction": str(auction_id),
                "order": str(settled.order_id or ""),
                "released": settled.released,
            }
            effects.after_commit(session, LogEvent("info", "auction_settled", fields))
            return settled
    alarms.note(session, [alarm])
    return alarm


def call_off(session: Session, auction: Auction) -> None:
    """Make a cancelled auction of a sealed one, locked by the caller, whatever alarms it has: somebody has looked.

    Every hold goes back. Refuses as the ledger does. What viewers have seen of the hammer stays as it was.
    """
    assert auction.status == AuctionStatus.SEALED
    auction.cancelled, auction.hammer_price = True, None
    _move_money(session, auction)
    _tell(session, auction, None)


def _has_alarm(session: Session, auction_id: UUID) -> bool:
    return (
        session.scalar(select(WriteBackAlarm.id).where(WriteBackAlarm.auction_id == auction_id).limit(1))
        is not None
    )


def _missing_bids(session: Session, auction: Auction) -> Alarm | None:
    """The seal counts the bids, and they and the extensions are numbered from 1 without a gap: each must be stored,
    once."""
    events = union_all(
        select(Bid.seq, literal(1).label("bid")).where(Bid.auction_id == auction.id),
        select(Extension.seq, literal(0)).where(Extension.auction_id == auction.id),
    ).subquery()
    bids, stored, numbers, last = session.execute(
        select(
            func.coalesce(func.sum(events.c.bid), 0),
            func.count(),
            func.count(events.c.seq.distinct()),
            func.coalesce(func.max(events.c.seq), 0),
        )
    ).one()
    complete = stored == numbers == last and auction.seq == auction.sealed_seq == stored + 1
    if complete and bids == auction.bids:
        return None
    evidence = (
        f"{bids} bids and {stored - bids} extensions stored with {numbers} numbers up to {last}; {auction.bids} bids"
        f" counted up to number {auction.seq}; sealed as number {auction.sealed_seq}"
    )
    return Alarm(auction.id, AlarmReason.BIDS_MISSING, evidence)


def _move_money(session: Session, auction: Auction) -> Settled:
    # The lock on the auction keeps its paddles as they are.
    pending = (Paddle.auction_id == auction.id) & Paddle.status.in_(_PENDING)
    holds = dict(session.execute(select(Paddle.bidder_id, Paddle.hold_id).where(pending)).all())
    # Below the reserve, and of what was cancelled, there is a leader, but no winner.
    winner_id = auction.leader_id if auction.hammer_price is not None else None
    lost = [hold_id for bidder_id, hold_id in holds.items() if bidder_id != winner_id]
    postings = ledger.releasing(session, lost)
    order_id: UUID | None = None
    if winner_id is not None and auction.hammer_price is not None:
        if winner_id not in holds:
            raise Refusal(BidRefusal.NO_PADDLE, "The winner has no paddle with money behind it.")
        order_id = new_id()
        escrow = ledger.account(session, AccountKind.ESCROW, order_id)
        postings += ledger.capturing(session, holds[winner_id], auction.hammer_price, escrow)
        session.add(
            Order(
                id=order_id,
                auction_id=auction.id,
                seller_id=auction.seller_id,
                buyer_id=winner_id,
                hammer_price=auction.hammer_price,
                fee=fees.of(
                    SellerFee(auction.fee_basis_points, auction.fee_floor, auction.fee_cap),
                    auction.hammer_price,
                ),
                state=OrderState.IN_ESCROW,
            )
        )
    ledger.post(session, postings)
    outcome = case((Paddle.bidder_id == winner_id, PaddleStatus.CAPTURED), else_=PaddleStatus.RELEASED)
    session.execute(
        update(Paddle).where(pending).values(status=outcome, version=Paddle.version + 1),
        execution_options={"synchronize_session": False},
    )
    unsold = AuctionStatus.CANCELLED if auction.cancelled else AuctionStatus.UNSOLD
    auction.status = AuctionStatus.SOLD if order_id else unsold
    auction.settled_at = session.scalars(select(func.now())).one()
    session.flush()
    return Settled(auction.id, order_id, len(lost))


def _tell(session: Session, auction: Auction, order_id: UUID | None) -> None:
    """Notify the seller and all bidders how it ended; if it was cancelled, also those who only had a paddle."""
    data: dict[str, Value] = {"title": auction.title}
    if auction.cancelled:
        told = select(Paddle.bidder_id).where(
            Paddle.auction_id == auction.id, Paddle.status != PaddleStatus.RETURNED
        )
        outcomes = dict.fromkeys([*session.scalars(told), auction.seller_id], Event.CANCELLED)
        data["reason"] = auction.cancel_reason
    else:
        told = select(Bid.bidder_id).distinct().where(Bid.auction_id == auction.id)
        outcomes = dict.fromkeys(session.scalars(told), Event.UNSOLD if order_id is None else Event.LOST)
        if order_id is not None and auction.leader_id is not None:
            outcomes[auction.leader_id] = Event.WON
            push = OrderPush(order=order_id, action=SELL, state=OrderState.IN_ESCROW)
            effects.after_commit(session, ToUser(auction.leader_id, push), ToUser(auction.seller_id, push))
        outcomes[auction.seller_id] = Event.UNSOLD if order_id is None else Event.SOLD
        data |= {"price": auction.price, "bids": auction.bids}
    notifications.notify(
        session,
        [
            NewNotification(
                user_id,
                event,
                str(auction.id),
                data,
                auction_id=auction.id,
                order_id=None if event == Event.LOST else order_id,
            )
            for user_id, event in outcomes.items()
        ],
    )
