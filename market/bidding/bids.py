"""Bids and purchases of both kinds of auctions, as they come over REST. A live auction is decided by the script that
also serves the sockets, a neighbourhood auction by PostgreSQL."""

from uuid import UUID

from sqlalchemy.orm import Session

from market.accounts import accounts
from market.bidding import neighbourhood
from market.bidding.refusals import OFFER_REFUSALS
from market.errors import Refusal
from market.listings import auction_views
from market.platform import settings
from market.rules import Code
from store import effects
from store.effects import Decision, ToUser
from store.models import AuctionKind
from store.redis.auctions import buy_now, place_bid
from store.redis.pushes import outbid_by
from store.redis.records import BidRecord, Rejection


def place(
    session: Session, bidder_id: UUID, auction_id: UUID, ref: str, maximum: int | None
) -> BidRecord | Decision[BidRecord]:
    """Bid up to `maximum` (minor units), or buy at once without one. A `ref` that was accepted before is answered as it
    was then. Refuses as `neighbourhood.place`; a live auction with `not_found`, `suspended`, `switched_off` or the
    codes of `market.rules.Code`."""
    kind = auction_views.kind_of(session, auction_id)
    if kind == AuctionKind.NEIGHBOURHOOD:
        return neighbourhood.place(session, bidder_id, auction_id, ref, maximum)
    accounts.require_not_suspended(session, bidder_id)
    settings.require(session, "live_bidding")
    if maximum is None:
        return Decision(buy_now(auction_id, bidder_id, ref), _conclude)
    return Decision(place_bid(auction_id, bidder_id, ref, maximum), _conclude)


def _conclude(session: Session, answer: BidRecord | Rejection) -> BidRecord:
    """Notify the outbid bidder on all sockets: otherwise only those that follow the auction would see it."""
    if isinstance(answer, Rejection):
        raise Refusal(
            OFFER_REFUSALS[Code(answer.code)],
            price=answer.price,
            next_minimum=answer.next_minimum,
            ends_at=answer.ends_at,
        )
    effects.after_commit(session, *(ToUser(user_id, push) for user_id, push in outbid_by(answer)))
    return answer
