"""Cancelling an auction: by its seller before the first bid, or by the service whatever was bid. Nobody wins then, and
every hold goes back.

A neighbourhood auction is cancelled here, in the transaction. A running live auction is cancelled by the script that
seals it; the record of that is the truth, and write-back and settlement follow it.
"""

from uuid import UUID

import msgspec
from sqlalchemy.orm import Session

from market.bidding import neighbourhood, settlement
from market.bidding.refusals import BidRefusal
from market.errors import GeneralRefusal, Refusal
from market.listings.auction_views import locked
from market.listings.refusals import ListingRefusal
from market.times import to_ms
from store.effects import Decision
from store.models import Auction, AuctionKind, AuctionStatus
from store.redis.auctions import cancel_auction
from store.redis.records import Rejection, SealRecord

MAX_REASON = 500


class Cancelled(msgspec.Struct, frozen=True):
    """An auction that is over without a winner. Time in ms."""

    auction_id: UUID
    cancelled_at: int


def by_seller(
    session: Session, seller_id: UUID, auction_id: UUID, reason: str | None
) -> Cancelled | Decision[Cancelled]:
    """Cancel the seller's own auction that nobody has bid on. `reason` is public.

    What is cancelled already is answered as it was. Refuses with `not_found`, `forbidden` (somebody else's),
    `wrong_state` (a draft), `closed` or `has_bids`.
    """
    auction = locked(session, auction_id)
    if auction.seller_id != seller_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only its seller can cancel an auction.")
    if auction.status == AuctionStatus.DRAFT:
        raise _draft()
    if auction.status != AuctionStatus.PUBLISHED and not auction.cancelled:
        raise Refusal(ListingRefusal.CLOSED)
    return _cancel(session, auction, reason, force=False)


def forced(session: Session, auction_id: UUID, reason: str | None) -> Cancelled | Decision[Cancelled]:
    """Cancel any auction that is not settled yet, whatever was bid. `reason` is for everybody to read.

    Also one whose hammer has fallen, and whose alarms keep it from being settled. What is cancelled already is
    answered as it was. Refuses with `not_found`, `wrong_state` (a draft, or settled) or as the ledger does.
    """
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT:
        raise _draft()
    if auction.status in (AuctionStatus.SOLD, AuctionStatus.UNSOLD):
        raise Refusal(GeneralRefusal.WRONG_STATE, "The auction is already settled.")
    if auction.status == AuctionStatus.SEALED:
        if not auction.cancelled:
            auction.cancel_reason = reason
        settlement.call_off(session, auction)
    return _cancel(session, auction, reason, force=True)


def _cancel(
    session: Session, auction: Auction, reason: str | None, force: bool
) -> Cancelled | Decision[Cancelled]:
    if auction.sealed_at is not None:
        return Cancelled(auction.id, to_ms(auction.sealed_at))
    # Of a live auction it is kept before Redis decides, and means nothing unless that cancels.
    auction.cancel_reason = reason
    if auction.kind == AuctionKind.LIVE:
        call = cancel_auction(auction.id, force=force)
        return Decision(call, lambda _, answer: Cancelled(auction.id, _decided_at(answer)))
    neighbourhood.cancel(session, auction, force)
    assert auction.sealed_at is not None
    return Cancelled(auction.id, to_ms(auction.sealed_at))


def _decided_at(answer: SealRecord | Rejection) -> int:
    """When Redis has cancelled a live auction (ms, its clock), by its answer.

    Refuses with `has_bids`, `unavailable` (no hot state: nothing has changed) or `closed` (the hammer fell first; once
    that is in PostgreSQL, a second later, `forced` calls off even that).
    """
    if isinstance(answer, Rejection):
        if answer.code == "has_bids":
            raise Refusal(BidRefusal.HAS_BIDS)
        raise Refusal(GeneralRefusal.UNAVAILABLE, "The auction cannot be reached now. Try again.")
    if not answer.cancelled:
        raise Refusal(ListingRefusal.CLOSED)
    return answer.at


def _draft() -> Refusal:
    return Refusal(
        GeneralRefusal.WRONG_STATE,
        "A draft cannot be cancelled. Delete it instead.",
    )
