"""What those with a role do to auctions that run: cancel one, give back the time that an outage took."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from market import audit
from market.audit import Actor, Subject
from market.bidding import cancelling, outage_extensions
from market.bidding.cancelling import Cancelled
from market.bidding.outage_extensions import Outage
from market.errors import GeneralRefusal, Refusal
from market.listings.auction_views import locked
from store.effects import Decision
from store.models import Auction, AuditEntry, Paddle


def cancel_auction(
    session: Session, actor: Actor, auction_id: UUID, reason: str
) -> Cancelled | Decision[Cancelled]:
    """`cancelling.forced`, with its refusals: any auction that is not settled yet, whatever was bid. The `reason` is
    for everybody to read. What is cancelled already is not noted again, and a running live auction without an `after`,
    because Redis decides later."""
    auction = locked(session, auction_id)
    require_outsider(session, actor, auction)
    before = {"status": auction.status}
    outcome = cancelling.forced(session, auction_id, reason)
    after = None if isinstance(outcome, Decision) else {"status": auction.status}
    if after != before:
        audit.record(session, actor, "cancel", Subject("auction", auction_id), reason, before, after)
    return outcome


def require_outsider(session: Session, actor: Actor, auction: Auction) -> None:
    """Refuses with `forbidden` if the actor sells it or has ever had a paddle in it."""
    own = select(Paddle.bidder_id).where(Paddle.auction_id == auction.id, Paddle.bidder_id == actor.user_id)
    audit.require_impartial(actor, auction.seller_id, *session.scalars(own))


def order_extension(session: Session, actor: Actor, outage: Outage, reason: str) -> Sequence[UUID]:
    """Note that all that an outage touched is to be extended, and say what that is. Refuses as
    `outage_extensions.touched`, or with `idempotency_key_reused` when the action was ordered with other numbers: some
    would end later by these, some by those."""
    touched = outage_extensions.touched(session, outage)
    numbers = {"began_at": outage.began_at, "ended_at": outage.ended_at, "by_ms": outage.by_ms}
    earlier = session.scalar(
        select(AuditEntry.after)
        .where(AuditEntry.subject_id == str(outage.action), AuditEntry.action == "extend")
        .limit(1)
    )
    if earlier is not None and earlier | numbers != earlier:
        raise Refusal(
            GeneralRefusal.IDEMPOTENCY_KEY_REUSED, "This action was already ordered with different values."
        )
    after = numbers | {"auctions": len(touched)}
    audit.record(session, actor, "extend", Subject("outage", outage.action), reason, None, after)
    return touched
