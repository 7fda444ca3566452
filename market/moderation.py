"""What moderators hide and show again: auctions, reviews, messages, questions. Nothing is deleted. And what those with
a role do to auctions that run: cancel one, give back the time that an outage took.

Nobody does so in an own matter: where the actor is involved, all of it but the last refuses with `forbidden`.
"""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from market import audit, cancelling, outages, trust
from market.auctions import locked, not_found
from market.audit import Actor, Subject
from market.cancelling import Cancelling
from market.errors import Refusal
from market.outages import Touched
from market.times import clock, to_ms
from store.models import Auction, AuctionStatus, AuditEntry, ChatMessage, Order, Paddle, Question, Review


class Visibility(msgspec.Struct, frozen=True):
    """Since when something is hidden (ms); None: it is not."""

    id: UUID
    hidden_at: int | None


def hide_auction(session: Session, actor: Actor, auction_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide an auction from all but those who take part, or show it again. It runs on: bids and money stay as they are.

    Refuses with `not_found`, also for a draft.
    """
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT:
        raise not_found()
    _require_outsider(session, actor, auction)
    return _set(session, actor, auction, hidden, reason)


def hide_review(session: Session, actor: Actor, review_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide a review, whose stars do not count then, or show it again. Refuses with `not_found`."""
    review = session.get(Review, review_id, populate_existing=True, with_for_update={"key_share": True})
    if review is None:
        raise _not_found()
    audit.require_impartial(actor, review.author_id, review.subject_id)
    if hidden and review.counted:
        # Shown again, the sweep counts it again.
        review.counted = False
        session.flush()
        trust.add(session, {review.subject_id: {"reviews": -1, "stars": -review.stars}})
    return _set(session, actor, review, hidden, reason)


def hide_message(session: Session, actor: Actor, message_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide what somebody wrote to the other side of an order, or show it again. Refuses with `not_found`."""
    message = session.get(
        ChatMessage, message_id, populate_existing=True, with_for_update={"key_share": True}
    )
    if message is None:
        raise _not_found()
    order = session.get_one(Order, message.order_id)
    audit.require_impartial(actor, order.buyer_id, order.seller_id)
    return _set(session, actor, message, hidden, reason)


def hide_question(session: Session, actor: Actor, question_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide a question and its answer from everybody, or show it again. Refuses with `not_found`."""
    question = session.get(Question, question_id, populate_existing=True, with_for_update={"key_share": True})
    if question is None:
        raise _not_found()
    audit.require_impartial(actor, question.asker_id, question.seller_id)
    return _set(session, actor, question, hidden, reason)


def cancel_auction(session: Session, actor: Actor, auction_id: UUID, reason: str) -> Cancelling:
    """`cancelling.forced`, with its refusals: any auction that is not settled yet, whatever was bid. The `reason` is
    for everybody to read. What is cancelled already is not noted again, and a running live auction without an `after`,
    because Redis decides later."""
    auction = locked(session, auction_id)
    _require_outsider(session, actor, auction)
    before = {"status": auction.status}
    outcome = cancelling.forced(session, auction_id, reason)
    after = None if outcome.cancelled_at is None else {"status": auction.status}
    if after != before:
        audit.record(session, actor, "cancel", Subject("auction", auction_id), reason, before, after)
    return outcome


def _require_outsider(session: Session, actor: Actor, auction: Auction) -> None:
    """Refuses with `forbidden` whoever sells it or has ever had a paddle in it."""
    own = select(Paddle.bidder_id).where(Paddle.auction_id == auction.id, Paddle.bidder_id == actor.user_id)
    audit.require_impartial(actor, auction.seller_id, *session.scalars(own))


def order_extension(
    session: Session, actor: Actor, action: UUID, began_at: int, ended_at: int, by_ms: int, reason: str
) -> Touched:
    """Note that all that an outage touched is to be extended, and say what that is. Refuses as `outages.touched`, or
    with `idempotency_key_reused` when `action` was ordered with other numbers: some would end later by these, some by
    those."""
    touched = outages.touched(session, began_at, ended_at, by_ms)
    numbers = {"began_at": began_at, "ended_at": ended_at, "by_ms": by_ms}
    earlier = session.scalar(
        select(AuditEntry.after)
        .where(AuditEntry.subject_id == str(action), AuditEntry.action == "extend")
        .limit(1)
    )
    if earlier is not None and earlier | numbers != earlier:
        raise Refusal("idempotency_key_reused", "The action was ordered with other numbers.")
    after = numbers | {"auctions": len(touched.live) + len(touched.neighbourhood)}
    audit.record(session, actor, "extend", Subject("outage", action), reason, None, after)
    return touched


def _set(
    session: Session,
    actor: Actor,
    thing: Auction | Review | ChatMessage | Question,
    hidden: bool,
    reason: str,
) -> Visibility:
    """Note it, unless it is so already."""
    if hidden != (thing.hidden_at is not None):
        before = _view(thing)
        thing.hidden_at = clock(session) if hidden else None
        session.flush()
        subject = Subject(_KINDS[type(thing)], thing.id)
        audit.record(
            session,
            actor,
            "hide" if hidden else "show",
            subject,
            reason,
            {"hidden_at": before.hidden_at},
            {"hidden_at": _view(thing).hidden_at},
        )
    return _view(thing)


_KINDS = {Auction: "auction", Review: "review", ChatMessage: "message", Question: "question"}


def _view(thing: Auction | Review | ChatMessage | Question) -> Visibility:
    return Visibility(thing.id, None if thing.hidden_at is None else to_ms(thing.hidden_at))


def _not_found() -> Refusal:
    return Refusal("not_found", "There is no such thing.")
