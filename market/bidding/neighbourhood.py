"""Bidding in a neighbourhood auction: one PostgreSQL transaction, decided by `market.rules` under PostgreSQL's clock.

A bidder's paddle comes with the first bid. While its owner leads, its hold is as much as the owner's maximum; it is
released in the transaction in which somebody else takes the lead. So the holds of an auction are those of its leader.

Every bid locks the auction first and money last, both accounts of a transfer in the order of their ids. Bids on one
auction are decided one after the other; the same money bid on two auctions at once is held for one of them.

Redis has a mirror of the auction for its viewers, never the truth. It is written after each commit, with every record
that Redis has not confirmed. A sweep notes what Redis has (`note_mirrors`) and brings the rest (`mirror_missing`).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from sqlalchemy import ColumnElement, ScalarSelect, func, select
from sqlalchemy.orm import Session, aliased

from market import rules, work_queue
from market.accounts import accounts, blocks
from market.bidding import bid_notifications, bid_rows, hot_state, settlement
from market.bidding.refusals import OFFER_REFUSALS, BidRefusal
from market.errors import Refusal
from market.listings import auction_views
from market.listings.auction_views import locked, not_found
from market.money import ledger
from market.notifications import notifications
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from market.places.refusals import PlaceRefusal
from market.platform import settings
from market.times import clock, from_ms, to_ms
from market.work_queue import Due
from store import effects
from store.database import any_id
from store.effects import LogEvent, MirrorAuction
from store.ids import new_id
from store.models import Auction, AuctionKind, AuctionStatus, Bid, Extension, Paddle, PaddleStatus
from store.redis.auctions import HISTORY_LENGTH
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    Record,
    SealRecord,
)

BATCH = 100
"""How many mirrors a sweep handles at a time. It bounds the memory: each may have a whole history to tell."""

LOOKED_AFTER = timedelta(hours=1)
"""How long after its seal a mirror is still compared with what PostgreSQL has."""


def place(session: Session, bidder_id: UUID, auction_id: UUID, ref: str, maximum: int | None) -> BidRecord:
    """Bid up to `maximum`, or buy at once without one. The record of it.

    A `ref` that was accepted before is answered as it was then. Refuses with `email_not_verified`, `suspended`,
    `switched_off`, `not_found`, with those of `OFFER_REFUSALS`, with `blocked`, `not_a_neighbour`, or with
    `insufficient_funds` and `balance_too_large`.
    """
    accounts.require_may_trade(session, bidder_id)
    settings.require(session, "neighbourhood_bidding")
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT or auction.kind != AuctionKind.NEIGHBOURHOOD:
        raise not_found()
    auction_views.require_visible(session, auction, bidder_id)
    known = _answer(session, auction, bidder_id, ref)
    state = _state(session, auction, bidder_id, known)
    bidder = str(bidder_id)
    offer = rules.PurchaseOffer(bidder, ref) if maximum is None else rules.BidOffer(bidder, ref, maximum)
    # Read under the lock, so that the times of an auction's bids are in their order.
    outcome = rules.decide(state, offer, to_ms(clock(session)))
    if isinstance(outcome, rules.RejectedOffer):
        raise Refusal(
            OFFER_REFUSALS[outcome.code],
            price=state.price,
            next_minimum=rules.next_minimum(state),
            ends_at=state.ends_at,
        )
    record = _bid_record(auction_id, outcome)
    if known is not None:
        return record
    blocks.check(session, auction.seller_id, bidder_id)
    assert auction.cell is not None
    assert auction.radius is not None
    if not neighbourhoods.is_within(session, bidder_id, auction.cell, Radius(auction.radius)):
        raise Refusal(
            PlaceRefusal.NOT_A_NEIGHBOUR, "Only verified neighbours within the seller's radius can bid."
        )
    accepted = bid_notifications.BidInContext(
        record, auction.title, auction.seller_id, auction.leader_id, not rules.reserve_met(state)
    )
    _hold(session, auction, outcome)
    session.add(Bid(**dict(zip(bid_rows.COLUMNS, bid_rows.row_of(record), strict=True))))
    _update(auction, outcome)
    session.flush()
    _tell(session, accepted)
    if outcome.bought:
        _seal(session, auction, rules.seal(rules.apply(state, outcome), outcome.at))
    session.flush()
    mirror(session, [auction])
    return record


def close(session: Session, auction_id: UUID) -> None:
    """End an auction whose time has come, and settle it in the same transaction, if it is not done yet."""
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.PUBLISHED or auction.kind != AuctionKind.NEIGHBOURHOOD:
        return
    now = to_ms(clock(session))
    if now < to_ms(auction.ends_at):
        return
    _seal(session, auction, rules.seal(auction_views.rules_state(auction), now))
    effects.after_commit(session, LogEvent("info", "auction_ended", {"auction": str(auction_id)}))
    mirror(session, [auction])


def cancel(session: Session, auction: Auction, force: bool) -> None:
    """End a published neighbourhood auction, locked by the caller, with no winner, and release its leader's hold.

    Refuses with `has_bids` if somebody has bid, unless forced.
    """
    sealed = rules.cancel(auction_views.rules_state(auction), to_ms(clock(session)), force)
    if sealed is None:
        raise Refusal(BidRefusal.HAS_BIDS)
    _seal(session, auction, sealed)
    mirror(session, [auction])


def extend(session: Session, auction_id: UUID, action_id: UUID, by_ms: int) -> bool:
    """Move the end of a neighbourhood auction by `by_ms`, and the latest end with it. False, and nothing changes, if it
    does not run or this action has extended it before. Refuses with `not_found`."""
    auction = locked(session, auction_id)
    if auction.status != AuctionStatus.PUBLISHED or auction.kind != AuctionKind.NEIGHBOURHOOD:
        return False
    actions = session.scalars(select(Extension.action_id).where(Extension.auction_id == auction.id))
    state = replace(auction_views.rules_state(auction), extended_by=frozenset(map(str, actions)))
    extension = rules.extend(state, str(action_id), by_ms, to_ms(clock(session)))
    if extension is None:
        return False
    auction.seq = extension.seq
    auction.ends_at, auction.latest_end = from_ms(extension.ends_at), from_ms(extension.latest_end)
    session.add(
        Extension(
            auction_id=auction.id,
            action_id=action_id,
            epoch=extension.epoch,
            seq=extension.seq,
            at=from_ms(extension.at),
            ends_at=auction.ends_at,
            latest_end=auction.latest_end,
        )
    )
    session.flush()
    mirror(session, [auction])
    return True


def claim_due(session: Session, after: Due | None) -> Due | None:
    """Lock the neighbourhood auction that `close` should end next, by PostgreSQL's clock: the first to end behind
    `after` that no other worker has locked. None if there is none."""
    return work_queue.claim(
        session,
        Auction.ends_at,
        Auction.id,
        after,
        Auction.status == AuctionStatus.PUBLISHED,
        Auction.kind == AuctionKind.NEIGHBOURHOOD,
        # Not clock_timestamp(): it is volatile, and no index would serve. `close` reads the clock itself.
        Auction.ends_at <= func.now(),
    )


def mirror(session: Session, auctions: Sequence[Auction]) -> None:
    """Have the mirrors of these auctions brought up to date after the commit."""
    effects.after_commit(session, *_unconfirmed(session, auctions))


def mirror_missing(session: Session, after: UUID | None = None) -> list[UUID]:
    """Bring what Redis has not confirmed of the first `BATCH` auctions, by id, behind `after`. Which these are."""
    query = select(Auction).where(
        Auction.kind == AuctionKind.NEIGHBOURHOOD,
        Auction.status != AuctionStatus.DRAFT,
        Auction.mirrored_seq < Auction.seq,
    )
    if after is not None:
        query = query.where(Auction.id > after)
    missing = session.scalars(query.order_by(Auction.id).limit(BATCH)).all()
    mirror(session, missing)
    return [auction.id for auction in missing]


def looked_after(session: Session, after: Due | None) -> list[Due]:
    """The next `BATCH` of the auctions whose mirrors viewers may look at, by the end or the seal, behind `after`."""
    last_at = func.greatest(Auction.ends_at, Auction.sealed_at)
    query = select(last_at, Auction.id).where(
        Auction.kind == AuctionKind.NEIGHBOURHOOD,
        Auction.status != AuctionStatus.DRAFT,
        last_at > func.now() - LOOKED_AFTER,
    )
    if after is not None:
        query = query.where(work_queue.behind(last_at, Auction.id, after))
    return [Due(*row) for row in session.execute(query.order_by(last_at, Auction.id).limit(BATCH))]


def note_mirrors(session: Session, found: Mapping[UUID, tuple[int, int] | None]) -> list[UUID]:
    """Note which (epoch, seq) Redis has of each auction, read before this transaction. Returns those to write again.

    Mirrors follow commits. So one that is ahead tells of bids that PostgreSQL, restored from a backup, has lost: their
    numbers will be given again, and a fresh epoch tells the viewers to forget them.
    """
    rows = session.execute(
        select(Auction.id, Auction.epoch, Auction.seq, Auction.mirrored_seq).where(
            any_id(found) == Auction.id
        )
    )
    stale = [
        row.id for row in rows if _noted(row.epoch, row.seq, found[row.id]) != (row.epoch, row.mirrored_seq)
    ]
    locked_rows = session.scalars(
        select(Auction)
        .where(any_id(stale) == Auction.id)
        .order_by(Auction.id)
        .with_for_update(key_share=True)
    )
    again = []
    for auction in locked_rows:
        auction.epoch, auction.mirrored_seq = _noted(auction.epoch, auction.seq, found[auction.id])
        if auction.mirrored_seq < 0:
            again.append(auction.id)
    return again


def _noted(epoch: int, seq: int, found: tuple[int, int] | None) -> tuple[int, int]:
    """The epoch that an auction is to have, and up to which number Redis has its records there; -1: nothing."""
    if found is None or found < (epoch, 0):
        return epoch, -1
    if found > (epoch, seq):
        return found[0] + 1, -1
    return epoch, found[1]


def _state(
    session: Session, auction: Auction, bidder_id: UUID, known: rules.AcceptedOffer | None
) -> rules.BiddingState:
    """The auction as the rules see it. Whether the money suffices, the ledger says: no paddle has a limit here."""
    number = session.scalar(
        select(Paddle.number).where(Paddle.auction_id == auction.id, Paddle.bidder_id == bidder_id)
    )
    # After the seal, which has the last number, no clock that steps back may open the auction again.
    last_bid = _numbered(auction, _last_bid(auction, auction.seq))
    decided_at = auction.sealed_at or session.scalar(select(Bid.at).where(*last_bid))
    return replace(
        auction_views.rules_state(auction),
        decided_at=0 if decided_at is None else to_ms(decided_at),
        sealed=_sealed(auction),
        paddles={str(bidder_id): rules.BidderPaddle(number or auction.paddle_count + 1, rules.MAX_AMOUNT)},
        answers={} if known is None else {(known.bidder, known.ref): known},
    )


def _last_bid(auction: Auction, up_to: int) -> ScalarSelect[int]:
    """The number of the last bid up to this number, of any epoch: the numbers go on over them, and extensions have
    some, too."""
    return select(func.max(Bid.seq)).where(Bid.auction_id == auction.id, Bid.seq <= up_to).scalar_subquery()


def _numbered(auction: Auction, seq: ScalarSelect[int]) -> list[ColumnElement[bool]]:
    return [Bid.auction_id == auction.id, Bid.seq == seq]


def _answer(session: Session, auction: Auction, bidder_id: UUID, ref: str) -> rules.AcceptedOffer | None:
    """What this `ref` of the bidder was answered, if it was accepted."""
    bid = session.scalar(
        select(Bid).where(Bid.bidder_id == bidder_id, Bid.auction_id == auction.id, Bid.ref == ref)
    )
    if bid is None:
        return None
    before = session.scalar(select(Bid).where(*_numbered(auction, _last_bid(auction, bid.seq - 1))))
    return _accepted(auction, bid, before)


def _accepted(auction: Auction, bid: Bid, before: Bid | None) -> rules.AcceptedOffer:
    """What the rules said of a stored bid, which came after `before`."""
    after = replace(
        auction_views.rules_state(auction),
        price=bid.price,
        lead=rules.Lead(str(bid.leader_id), bid.leader_paddle, bid.leader_maximum),
        bids=bid.bids,
    )
    return rules.AcceptedOffer(
        epoch=bid.epoch,
        seq=bid.seq,
        at=to_ms(bid.at),
        bidder=str(bid.bidder_id),
        paddle=bid.paddle,
        ref=bid.ref,
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


def _hold(session: Session, auction: Auction, accepted: rules.AcceptedOffer) -> None:
    """Hold the new leader's maximum and release the previous leader's. A bid that does not take the lead
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


def _update(auction: Auction, accepted: rules.AcceptedOffer) -> None:
    auction.seq, auction.price, auction.bids = accepted.seq, accepted.price, accepted.bids
    auction.leader_id, auction.leader_paddle = UUID(accepted.leader), accepted.leader_paddle
    auction.leader_maximum, auction.ends_at = accepted.leader_maximum, from_ms(accepted.ends_at)


def _tell(session: Session, accepted: bid_notifications.BidInContext) -> None:
    taken = [accepted] if accepted.beaten is not None else []
    notifications.notify(
        session, [*bid_notifications.of_bid(accepted), *bid_notifications.leading_again(session, taken)]
    )


def _seal(session: Session, auction: Auction, sealed: rules.Sealed | rules.SealTooEarly) -> None:
    """End the auction and settle it: order and money in the transaction of the hammer."""
    assert isinstance(sealed, rules.Sealed)
    auction.status, auction.sealed_at = AuctionStatus.SEALED, from_ms(sealed.at)
    auction.seq = auction.sealed_seq = sealed.seq
    auction.hammer_price = sealed.price if sealed.leader else None
    auction.cancelled = sealed.cancelled
    session.flush()
    settlement.settle(session, auction.id)


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


def _seal_record(auction: Auction) -> SealRecord | None:
    sealed = _sealed(auction)
    return None if sealed is None else SealRecord(auction=auction.id, **asdict(sealed))


def _unconfirmed(session: Session, found: Sequence[Auction]) -> Iterator[MirrorAuction]:
    """The auctions with what Redis has not confirmed, as far back as it keeps records, and how they ended. A fresh
    epoch begins anew."""
    any_of_them = any_id([auction.id for auction in found]) == Auction.id
    seen = func.greatest(Auction.mirrored_seq, Auction.seq - HISTORY_LENGTH)
    earlier = aliased(Bid)
    # The bid before them, too: it tells who was outbid by the first.
    last_seen = (
        select(func.coalesce(func.max(earlier.seq), 0))
        .where(earlier.auction_id == Auction.id, earlier.epoch == Auction.epoch, earlier.seq <= seen)
        .scalar_subquery()
    )
    bids: defaultdict[UUID, list[Bid | None]] = defaultdict(lambda: [None])
    for bid in session.scalars(
        select(Bid)
        .join(Auction, (Auction.id == Bid.auction_id) & (Auction.epoch == Bid.epoch))
        .where(any_of_them, Bid.seq >= last_seen)
        .order_by(Bid.auction_id, Bid.seq)
    ):
        bids[bid.auction_id].append(bid)
    extensions: defaultdict[UUID, list[Extension]] = defaultdict(list)
    for extension in session.scalars(
        select(Extension)
        .join(Auction, (Auction.id == Extension.auction_id) & (Auction.epoch == Extension.epoch))
        .where(any_of_them, Extension.seq > seen)
    ):
        extensions[extension.auction_id].append(extension)
    for auction in found:
        first = max(auction.mirrored_seq, auction.seq - HISTORY_LENGTH) + 1
        seal = _seal_record(auction)
        records: list[Record] = [
            _bid_record(auction.id, _accepted(auction, bid, before))
            for before, bid in pairwise(bids[auction.id])
            if bid is not None
        ]
        records += [_extension_record(extension) for extension in extensions[auction.id]]
        records += [] if seal is None else [seal]
        # A sweep locks nothing: what came since it read the auction is for the next one.
        unconfirmed = [record for record in records if first <= record.seq <= auction.seq]
        unconfirmed.sort(key=lambda record: record.seq)
        yield MirrorAuction(hot_state.hot_auction(auction, []), unconfirmed, seal)


def _extension_record(extension: Extension) -> ExtensionRecord:
    return ExtensionRecord(
        auction=extension.auction_id,
        epoch=extension.epoch,
        seq=extension.seq,
        at=to_ms(extension.at),
        action=extension.action_id,
        ends_at=to_ms(extension.ends_at),
        latest_end=to_ms(extension.latest_end),
    )


def _bid_record(auction_id: UUID, accepted: rules.AcceptedOffer) -> BidRecord:
    fields = asdict(accepted) | {"bidder": UUID(accepted.bidder), "leader": UUID(accepted.leader)}
    return BidRecord(auction=auction_id, **fields)
