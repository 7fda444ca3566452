"""Bidding in a neighbourhood auction: one PostgreSQL transaction, decided by `market.rules` under PostgreSQL's clock.

A bidder's paddle comes with the first bid. While its owner leads, its hold is as much as the owner's maximum; it is
released in the transaction in which somebody else takes the lead. So the holds of an auction are those of its leader.

Every bid locks the auction first and money last, both accounts of a transfer in the order of their ids. Bids on one
auction are decided one after the other; the same money bid on two auctions at once is held for one of them.

Redis has a copy of the auction for its viewers (`to_mirror`), never the truth. The caller writes it after the commit.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from market import (
    accounts,
    auctions,
    bid_news,
    blocks,
    hot_copies,
    ledger,
    neighbourhoods,
    notifications,
    rules,
    settlement,
)
from market.auctions import locked, not_found
from market.errors import Refusal
from market.neighbourhoods import Radius
from market.times import clock, from_ms, to_ms
from store.hot import HotAuction
from store.ids import new_id
from store.models import Auction, AuctionKind, AuctionStatus, Bid, Paddle, PaddleStatus
from store.records import BidRecord, Record, SealRecord

BATCH = 500
"""How many auctions a sweep handles at a time."""


class Mirror(msgspec.Struct, frozen=True):
    """An auction as it is to stand in Redis, the records that have led there since the last time, and how it ended."""

    auction: HotAuction
    records: list[Record]
    seal: SealRecord | None


def place(
    session: Session, bidder_id: UUID, auction_id: UUID, ref: str, maximum: int | None
) -> tuple[BidRecord, Mirror | None]:
    """Bid up to `maximum`, or buy at once without one. The record of it, and what to tell Redis if it is new.

    A `ref` that was accepted before is answered as it was then. Refuses with `email_not_verified`, `not_found`, with
    the codes of `market.rules.Code`, with `blocked`, `not_a_neighbour`, or with `insufficient_funds` and
    `balance_too_large`.
    """
    accounts.require_verified(session, bidder_id)
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT or auction.kind != AuctionKind.NEIGHBOURHOOD:
        raise not_found()
    known = _answer(session, auction, bidder_id, ref)
    state = _state(session, auction, bidder_id, known)
    bidder = str(bidder_id)
    offer = rules.Purchase(bidder, ref) if maximum is None else rules.Bid(bidder, ref, maximum)
    # Read under the lock, so that the times of an auction's bids are in their order.
    outcome = rules.decide(state, offer, to_ms(clock(session)))
    if isinstance(outcome, rules.Rejected):
        raise Refusal(
            outcome.code,
            rules.REASONS[outcome.code],
            price=state.price,
            next_minimum=rules.next_minimum(state),
            ends_at=state.ends_at,
        )
    record = _bid_record(auction_id, outcome)
    if known is not None:
        return record, None
    blocks.check(session, auction.seller_id, bidder_id)
    assert auction.cell is not None
    assert auction.radius is not None
    if not neighbourhoods.is_within(session, bidder_id, auction.cell, Radius(auction.radius)):
        raise Refusal("not_a_neighbour", "Only verified neighbours within the seller's radius may bid.")
    accepted = bid_news.Accepted(
        record, auction.title, auction.seller_id, auction.leader_id, not rules.reserve_met(state)
    )
    _hold(session, auction, outcome)
    session.add(_row(record))
    _update(auction, outcome)
    session.flush()
    _tell(session, accepted)
    records: list[Record] = [record]
    if outcome.bought:
        records.append(_seal(session, auction, rules.seal(rules.apply(state, outcome), outcome.at)))
    session.flush()
    return record, _mirror(auction, records)


def close(session: Session, auction_id: UUID) -> Mirror | None:
    """End an auction whose time has come, and settle it in the same transaction; None if there is nothing to do."""
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.PUBLISHED or auction.kind != AuctionKind.NEIGHBOURHOOD:
        return None
    now = to_ms(clock(session))
    if now < to_ms(auction.ends_at):
        return None
    seal = _seal(session, auction, rules.seal(auctions.rules_state(auction), now))
    return _mirror(auction, [seal])


def cancel(session: Session, auction: Auction, force: bool) -> Mirror:
    """End a published neighbourhood auction, locked by the caller, with no winner, and release its leader's hold.

    Refuses with `has_bids` if somebody has bid, unless forced.
    """
    sealed = rules.cancel(auctions.rules_state(auction), to_ms(clock(session)), force)
    if sealed is None:
        raise has_bids()
    return _mirror(auction, [_seal(session, auction, sealed)])


def has_bids() -> Refusal:
    """The refusal to cancel what somebody has bid on."""
    return Refusal("has_bids", "Somebody has bid: the seller cannot cancel any more.")


def due(session: Session) -> Sequence[UUID]:
    """The neighbourhood auctions whose end, by PostgreSQL's clock, has come, the first to end first."""
    return session.scalars(
        select(Auction.id)
        .where(
            Auction.status == AuctionStatus.PUBLISHED,
            Auction.kind == AuctionKind.NEIGHBOURHOOD,
            # Not clock_timestamp(): it is volatile, and no index would serve. `close` reads the clock itself.
            Auction.ends_at <= func.now(),
        )
        .order_by(Auction.ends_at)
        .limit(BATCH)
    ).all()


def mirrored(session: Session, auction_id: UUID, seq: int) -> None:
    """Note that Redis has the auction as it was after the record number `seq`."""
    session.execute(
        update(Auction).where(Auction.id == auction_id, Auction.mirrored_seq < seq).values(mirrored_seq=seq),
        execution_options={"synchronize_session": False},
    )


def to_mirror(session: Session) -> list[Mirror]:
    """What a crash or Redis's absence has kept from Redis."""
    found = session.scalars(
        select(Auction)
        .where(
            Auction.kind == AuctionKind.NEIGHBOURHOOD,
            Auction.status != AuctionStatus.DRAFT,
            Auction.mirrored_seq < Auction.seq,
        )
        .order_by(Auction.id)
        .limit(BATCH)
    )
    return [_mirror(auction, []) for auction in found]


def mirror_again(session: Session, shards: Sequence[int]) -> None:
    """Note that Redis has lost what it had of these shards' auctions. What is over is not needed there any more."""
    session.execute(
        update(Auction)
        .where(
            Auction.kind == AuctionKind.NEIGHBOURHOOD,
            Auction.status == AuctionStatus.PUBLISHED,
            Auction.shard.in_(shards),
        )
        .values(mirrored_seq=-1),
        execution_options={"synchronize_session": False},
    )


def _state(session: Session, auction: Auction, bidder_id: UUID, known: rules.Accepted | None) -> rules.State:
    """The auction as the rules see it. Whether the money suffices, the ledger says: no paddle has a limit here."""
    number = session.scalar(
        select(Paddle.number).where(Paddle.auction_id == auction.id, Paddle.bidder_id == bidder_id)
    )
    # After the seal, which has the last number, no clock that steps back may open the auction again.
    decided_at = auction.sealed_at or session.scalar(select(Bid.at).where(*_numbered(auction, auction.seq)))
    return replace(
        auctions.rules_state(auction),
        decided_at=0 if decided_at is None else to_ms(decided_at),
        sealed=_sealed(auction),
        paddles={str(bidder_id): rules.Paddle(number or auction.paddle_count + 1, rules.MAX_AMOUNT)},
        answers={} if known is None else {(known.bidder, known.ref): known},
    )


def _numbered(auction: Auction, seq: int) -> list[ColumnElement[bool]]:
    return [Bid.auction_id == auction.id, Bid.epoch == auction.epoch, Bid.seq == seq]


def _answer(session: Session, auction: Auction, bidder_id: UUID, ref: str) -> rules.Accepted | None:
    """What this `ref` of the bidder was answered, if it was accepted."""
    bid = session.scalar(
        select(Bid).where(Bid.bidder_id == bidder_id, Bid.auction_id == auction.id, Bid.ref == ref)
    )
    if bid is None:
        return None
    before = session.execute(
        select(Bid.leader_id, Bid.price).where(*_numbered(auction, bid.seq - 1))
    ).one_or_none()
    state = auctions.rules_state(auction)
    after = replace(
        state,
        price=bid.price,
        lead=rules.Lead(str(bid.leader_id), bid.leader_paddle, bid.leader_maximum),
        bids=bid.bids,
    )
    return rules.Accepted(
        epoch=bid.epoch,
        seq=bid.seq,
        at=to_ms(bid.at),
        bidder=str(bidder_id),
        paddle=bid.paddle,
        ref=ref,
        maximum=bid.maximum,
        price=bid.price,
        leader=str(bid.leader_id),
        leader_paddle=bid.leader_paddle,
        leader_maximum=bid.leader_maximum,
        outbid=str(before.leader_id) if before is not None and before.leader_id != bid.leader_id else "",
        next_minimum=bid.next_minimum,
        ends_at=to_ms(bid.ends_at),
        extended=bid.extended,
        bids=bid.bids,
        bought=bid.bought,
        reserve_met=rules.reserve_met(after),
        buy_now=rules.buy_now(after),
    )


def _hold(session: Session, auction: Auction, accepted: rules.Accepted) -> None:
    """Hold the new leader's maximum and release the hold of whoever led before. A bid that does not take the lead
    proves that its money is there, and leaves nothing held."""
    bidder_id = UUID(accepted.bidder)
    paddles = {
        paddle.bidder_id: paddle
        for paddle in session.scalars(
            select(Paddle).where(
                Paddle.auction_id == auction.id, Paddle.bidder_id.in_([bidder_id, auction.leader_id])
            )
        )
    }
    held = [paddle for paddle in paddles.values() if paddle.status == PaddleStatus.ACTIVE]
    leads = accepted.leader == accepted.bidder
    hold = ledger.holding(session, new_id(), bidder_id, accepted.maximum, auction.id)
    given_back = ledger.releasing(session, [paddle.hold_id for paddle in held]) if leads else []
    ledger.post(session, [*given_back, hold])
    if leads:
        for paddle in held:
            paddle.status = PaddleStatus.RELEASED
    else:
        ledger.post(session, ledger.releasing(session, [hold.id]))
    own = paddles.get(bidder_id)
    if own is None:
        auction.paddle_count += 1
        own = Paddle(auction_id=auction.id, bidder_id=bidder_id, number=accepted.paddle, version=0)
        session.add(own)
    own.limit, own.hold_id = accepted.maximum, hold.id
    own.status = PaddleStatus.ACTIVE if leads else PaddleStatus.RELEASED


def _update(auction: Auction, accepted: rules.Accepted) -> None:
    auction.seq, auction.price, auction.bids = accepted.seq, accepted.price, accepted.bids
    auction.leader_id, auction.leader_paddle = UUID(accepted.leader), accepted.leader_paddle
    auction.leader_maximum, auction.ends_at = accepted.leader_maximum, from_ms(accepted.ends_at)


def _tell(session: Session, accepted: bid_news.Accepted) -> None:
    taken = [accepted] if accepted.beaten is not None else []
    notifications.notify(session, [*bid_news.of_bid(accepted), *bid_news.leading_again(session, taken)])


def _seal(session: Session, auction: Auction, sealed: rules.Sealed | rules.NotYet) -> SealRecord:
    """End the auction and settle it: order and money in the transaction of the hammer."""
    assert isinstance(sealed, rules.Sealed)
    auction.status, auction.sealed_at = AuctionStatus.SEALED, from_ms(sealed.at)
    auction.seq = auction.sealed_seq = sealed.seq
    auction.hammer_price = sealed.price if sealed.leader else None
    auction.cancelled = sealed.cancelled
    session.flush()
    settlement.settle(session, auction.id)
    return _seal_record(auction, sealed)


def _sealed(auction: Auction) -> rules.Sealed | None:
    """How the auction ended, as its row has it; None while it runs."""
    if auction.sealed_at is None or auction.sealed_seq is None:
        return None
    won = auction.hammer_price is not None
    return rules.Sealed(
        epoch=auction.epoch,
        seq=auction.sealed_seq,
        at=to_ms(auction.sealed_at),
        ends_at=to_ms(auction.ends_at),
        price=auction.price,
        leader=str(auction.leader_id) if won else "",
        leader_paddle=auction.leader_paddle if won else 0,
        bids=auction.bids,
        cancelled=auction.cancelled,
    )


def _seal_record(auction: Auction, sealed: rules.Sealed) -> SealRecord:
    return SealRecord(auction=auction.id, **asdict(sealed))


def _mirror(auction: Auction, records: list[Record]) -> Mirror:
    sealed = _sealed(auction)
    seal = None if sealed is None else _seal_record(auction, sealed)
    return Mirror(hot_copies.hot_copy(auction, []), records, seal)


def _bid_record(auction_id: UUID, accepted: rules.Accepted) -> BidRecord:
    fields = asdict(accepted) | {"bidder": UUID(accepted.bidder), "leader": UUID(accepted.leader)}
    return BidRecord(auction=auction_id, **fields)


def _row(record: BidRecord) -> Bid:
    return Bid(
        auction_id=record.auction,
        epoch=record.epoch,
        seq=record.seq,
        at=from_ms(record.at),
        bidder_id=record.bidder,
        paddle=record.paddle,
        ref=record.ref,
        maximum=record.maximum,
        price=record.price,
        leader_id=record.leader,
        leader_paddle=record.leader_paddle,
        leader_maximum=record.leader_maximum,
        next_minimum=record.next_minimum,
        ends_at=from_ms(record.ends_at),
        extended=record.extended,
        bids=record.bids,
        bought=record.bought,
    )
