"""Publishing a draft: from then on it can be bid on."""

from uuid import UUID

from sqlalchemy.orm import Session

from market.bidding import hot_state, neighbourhood
from market.listings import listings
from market.listings.auction_views import AuctionView
from store.models import Auction, AuctionKind


def publish(session: Session, seller_id: UUID, auction_id: UUID) -> AuctionView:
    """`listings.publish`, with its refusals, and have Redis know the auction."""
    view = listings.publish(session, seller_id, auction_id)
    if view.kind == AuctionKind.LIVE:
        hot_state.load(session, auction_id)
    else:
        neighbourhood.mirror(session, [session.get_one(Auction, auction_id)])
    return view
