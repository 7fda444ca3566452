"""What moderators hide and show again: auctions, reviews, messages, questions. Nothing is deleted.

A moderator who is involved is refused with `forbidden`.
"""

from uuid import UUID

import msgspec
from sqlalchemy.orm import Session

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.listings.auction_views import locked, not_found
from market.moderation.auction_actions import require_outsider
from market.orders import trust
from market.times import clock, to_ms
from store.models import Auction, AuctionStatus, ChatMessage, Order, Question, Review


class Visibility(msgspec.Struct, frozen=True):
    """Since when something is hidden (ms); None if it is not."""

    id: UUID
    hidden_at: int | None


def hide_auction(session: Session, actor: Actor, auction_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide an auction from all but those who take part, or show it again. It runs on: bids and money stay as they are.

    Refuses with `not_found`, also for a draft.
    """
    auction = locked(session, auction_id)
    if auction.status == AuctionStatus.DRAFT:
        raise not_found()
    require_outsider(session, actor, auction)
    return _set(session, actor, auction, hidden, reason)


def hide_review(session: Session, actor: Actor, review_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide a review, whose stars do not count then, or show it again. Refuses with `not_found`."""
    review = session.get(Review, review_id, populate_existing=True, with_for_update={"key_share": True})
    if review is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    audit.require_impartial(actor, review.author_id, review.subject_id)
    if hidden and review.counted:
        # Shown again, the sweep counts it again.
        review.counted = False
        session.flush()
        trust.add(session, {review.subject_id: {"reviews": -1, "stars": -review.stars}})
    return _set(session, actor, review, hidden, reason)


def hide_message(session: Session, actor: Actor, message_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide what somebody wrote to the other party to an order, or show it again. Refuses with `not_found`."""
    message = session.get(
        ChatMessage, message_id, populate_existing=True, with_for_update={"key_share": True}
    )
    if message is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    order = session.get_one(Order, message.order_id)
    audit.require_impartial(actor, order.buyer_id, order.seller_id)
    return _set(session, actor, message, hidden, reason)


def hide_question(session: Session, actor: Actor, question_id: UUID, hidden: bool, reason: str) -> Visibility:
    """Hide a question and its answer from everybody, or show it again. Refuses with `not_found`."""
    question = session.get(Question, question_id, populate_existing=True, with_for_update={"key_share": True})
    if question is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    audit.require_impartial(actor, question.asker_id, question.seller_id)
    return _set(session, actor, question, hidden, reason)


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
