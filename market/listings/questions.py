"""Questions about auctions, and the answers of their sellers. Everybody reads both.

A question can be taken back until it is answered. An answer can be given and corrected until the auction is over: then
it stays as the bidders have read it.
"""

from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from market.accounts import accounts, blocks
from market.errors import GeneralRefusal, Refusal
from market.listings import auction_views
from market.listings.auction_views import AuctionState
from market.listings.refusals import ListingRefusal
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.pages import Page, list_page
from market.times import clock, to_ms
from store.ids import new_id
from store.models import Auction, AuctionStatus, Event, Question, User

MAX_TEXT = 1_000
"""Characters of a question, and of an answer."""
MAX_QUESTIONS = 20
"""Of one user about one auction."""


class QuestionView(msgspec.Struct, frozen=True):
    """A question as everybody sees it, times in ms. `answer` is None until there is one, `answered_at` when it became
    what it is. A text whose author has deleted the account is empty."""

    id: UUID
    auction_id: UUID
    asker_id: UUID
    asker_name: str
    text: str
    created_at: int
    answer: str | None
    answered_at: int | None


class SellerQuestion(QuestionView, frozen=True, kw_only=True):
    """A question to a seller, who sees beside it what it is about."""

    title: str


def ask(session: Session, user_id: UUID, auction_id: UUID, text: str) -> QuestionView:
    """Ask about an auction that is not over.

    Refuses with `email_not_verified`, `suspended`, `not_found`, `own_auction`, `blocked` (by either), `closed` or
    `too_many_questions`.
    """
    # Two questions at once must not both be the last one allowed.
    accounts.lock(session, user_id)
    accounts.require_may_trade(session, user_id)
    auction = auction_views.published(session, auction_id, user_id)
    if auction.seller_id == user_id:
        raise Refusal(ListingRefusal.OWN_AUCTION, "You cannot ask a question about your own auction.")
    blocks.check(session, auction.seller_id, user_id)
    blocks.check(session, user_id, auction.seller_id)
    _require_running(session, auction)
    asked = select(func.count()).where(Question.asker_id == user_id, Question.auction_id == auction_id)
    if session.scalars(asked).one() >= MAX_QUESTIONS:
        raise Refusal(ListingRefusal.TOO_MANY_QUESTIONS)
    question = Question(
        id=new_id(), auction_id=auction_id, seller_id=auction.seller_id, asker_id=user_id, text=text
    )
    session.add(question)
    session.flush()
    session.refresh(question)
    _tell(session, question, auction.seller_id, Event.QUESTION, auction.title)
    return _view(question, _name(session, user_id))


def answer(session: Session, user_id: UUID, question_id: UUID, text: str) -> QuestionView:
    """Answer a question about the user's own auction that is not over, or correct the answer.

    Refuses with `not_found`, `forbidden` (somebody else's auction) or `closed`.
    """
    accounts.keep(session, user_id)
    question = _locked(session, question_id)
    if question.seller_id != user_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only the seller can answer.")
    auction = session.get_one(Auction, question.auction_id)
    _require_running(session, auction)
    if text != question.answer:
        question.answer, question.answered_at = text, clock(session)
        session.flush()
        _tell(session, question, question.asker_id, Event.ANSWER, auction.title)
    return _view(question, _name(session, question.asker_id))


def take_back(session: Session, user_id: UUID, question_id: UUID) -> None:
    """Delete the user's own question. Refuses with `not_found`, `forbidden` (somebody else's) or `wrong_state`
    (answered)."""
    question = _locked(session, question_id)
    if question.asker_id != user_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "Only the person who asked can take a question back.")
    if question.answer is not None:
        raise Refusal(GeneralRefusal.WRONG_STATE, "This question has already been answered.")
    session.delete(question)
    session.flush()


def page(session: Session, auction_id: UUID, cursor: str | None, limit: int) -> Page[QuestionView]:
    """The questions about an auction, newest first. Refuses with `not_found` or `invalid_cursor`."""
    auction_views.published(session, auction_id)
    query = (
        select(Question, User.display_name)
        .join(User, User.id == Question.asker_id)
        .where(Question.auction_id == auction_id, Question.hidden_at.is_(None))
    )
    return list_page(session, query, _view, Question.id, cursor, limit)


def to_seller(
    session: Session, seller_id: UUID, unanswered: bool, cursor: str | None, limit: int
) -> Page[SellerQuestion]:
    """The questions about all auctions of a seller, newest first; `unanswered`: only those that can be and are not.

    Refuses with `invalid_cursor`.
    """
    query = (
        select(Question, User.display_name, Auction.title)
        .join(User, User.id == Question.asker_id)
        .join(Auction, Auction.id == Question.auction_id)
        .where(Question.seller_id == seller_id, Question.hidden_at.is_(None))
    )
    if unanswered:
        query = query.where(
            Question.answer.is_(None),
            Auction.status == AuctionStatus.PUBLISHED,
            Auction.ends_at > func.now(),
        )
    return list_page(session, query, _to_seller, Question.id, cursor, limit)


def _to_seller(question: Question, asker_name: str, title: str) -> SellerQuestion:
    return SellerQuestion(**msgspec.structs.asdict(_view(question, asker_name)), title=title)


def forget_user(session: Session, user_id: UUID) -> None:
    """Empty what a user, whose account is deleted, has asked and answered, and delete what waits for an answer."""
    asked, answered = Question.asker_id == user_id, Question.answer.is_not(None)
    for forget in (
        delete(Question).where(asked, ~answered),
        update(Question).where(asked).values(text=""),
        update(Question).where(Question.seller_id == user_id, answered).values(answer=""),
    ):
        session.execute(forget, execution_options={"synchronize_session": False})


def _locked(session: Session, question_id: UUID) -> Question:
    """The question, which nobody changes before this transaction ends. Refuses with `not_found`."""
    question = session.get(Question, question_id, populate_existing=True, with_for_update={"key_share": True})
    if question is None or question.hidden_at is not None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return question


def _tell(session: Session, question: Question, user_id: UUID, event: Event, title: str) -> None:
    """Notify a user of a question, or its first answer, without the text: that may be hidden or forgotten later."""
    cause = str(question.id)
    data = {"title": title, "question": cause}
    notifications.notify(session, [NewNotification(user_id, event, cause, data, question.auction_id)])


def _require_running(session: Session, auction: Auction) -> None:
    if auction_views.state_of(auction, clock(session)) not in (AuctionState.SCHEDULED, AuctionState.LIVE):
        raise Refusal(ListingRefusal.CLOSED)


def _name(session: Session, user_id: UUID) -> str:
    return session.scalars(select(User.display_name).where(User.id == user_id)).one()


def _view(question: Question, asker_name: str) -> QuestionView:
    return QuestionView(
        id=question.id,
        auction_id=question.auction_id,
        asker_id=question.asker_id,
        asker_name=asker_name,
        text=question.text,
        created_at=to_ms(question.created_at),
        answer=question.answer,
        answered_at=None if question.answered_at is None else to_ms(question.answered_at),
    )
