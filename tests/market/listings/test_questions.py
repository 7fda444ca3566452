"""Questions about auctions and their answers."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from market import account_deletion
from market.accounts import blocks
from market.errors import Refusal
from market.listings import listings, questions
from market.listings.questions import QuestionView
from market.moderation import reports
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Auction, AuctionStatus, Question, ReportKind, ReportReason
from tests.support.factories import NO_PASSWORD, a_draft, make_published_auction, make_user
from tests.support.races import at_once


def refused(session: Session, use_case: object, *args: object) -> str:
    with pytest.raises(Refusal) as refusal:
        use_case(session, *args)  # type: ignore[operator]
    return refusal.value.code


def end(session: Session, auction_id: UUID) -> None:
    """The auction's time has passed."""
    ago = func.now() - timedelta(hours=1)
    times = {"opens_at": ago, "ends_at": ago, "latest_end": ago}
    session.execute(update(Auction).where(Auction.id == auction_id).values(times))
    session.expire_all()


@pytest.fixture
def seller(db_session: Session) -> UUID:
    return make_user(db_session, "Mina")


@pytest.fixture
def auction(db_session: Session, seller: UUID) -> UUID:
    return make_published_auction(db_session, seller).id


@pytest.fixture
def asker(db_session: Session) -> UUID:
    return make_user(db_session, "Joon")


def test_everybody_reads_what_was_asked_and_answered_newest_first(
    db_session: Session, seller: UUID, auction: UUID, asker: UUID
) -> None:
    first, second, third = (questions.ask(db_session, asker, auction, text) for text in ("A?", "B?", "다?"))
    assert (first.text, first.asker_name, first.answer, first.answered_at) == ("A?", "Joon", None, None)
    answered = questions.answer(db_session, seller, second.id, "Yes.")
    assert (answered.text, answered.asker_name, answered.answer) == ("B?", "Joon", "Yes.")
    page = questions.page(db_session, auction, None, 2)
    rest = questions.page(db_session, auction, page.next_cursor, 2)
    assert [*page.items, *rest.items] == [third, answered, first]
    assert rest.next_cursor is None
    assert refused(db_session, questions.page, auction, "no cursor", 2) == "invalid_cursor"
    assert questions.page(db_session, make_published_auction(db_session).id, None, 2).items == []


def test_an_answer_is_corrected_until_the_auction_is_over(
    db_session: Session, seller: UUID, auction: UUID, asker: UUID
) -> None:
    question = questions.ask(db_session, asker, auction, "New?").id
    first = questions.answer(db_session, seller, question, "Yes.")
    assert questions.answer(db_session, seller, question, "Yes.") == first
    corrected = questions.answer(db_session, seller, question, "Nearly.")
    assert corrected.answer == "Nearly."
    assert first.answered_at is not None
    assert corrected.answered_at is not None
    assert corrected.answered_at >= first.answered_at
    end(db_session, auction)
    assert refused(db_session, questions.answer, seller, question, "No.") == "closed"
    assert questions.page(db_session, auction, None, 2).items == [corrected]


def test_only_the_seller_answers_and_only_what_is_there(
    db_session: Session, auction: UUID, asker: UUID
) -> None:
    question = questions.ask(db_session, asker, auction, "New?").id
    for user in (asker, make_user(db_session)):
        assert refused(db_session, questions.answer, user, question, "Yes.") == "forbidden"
    assert refused(db_session, questions.answer, asker, new_id(), "Yes.") == "not_found"


def test_who_may_not_ask(db_session: Session, seller: UUID, auction: UUID, asker: UUID) -> None:
    draft = listings.create(db_session, seller, a_draft()).id
    unverified = make_user(db_session, verified=False)
    assert refused(db_session, questions.ask, asker, draft, "New?") == "not_found"
    assert refused(db_session, questions.ask, asker, new_id(), "New?") == "not_found"
    assert refused(db_session, questions.ask, seller, auction, "New?") == "own_auction"
    assert refused(db_session, questions.ask, unverified, auction, "New?") == "email_not_verified"
    for blocker, blocked in ((seller, asker), (asker, seller)):
        blocks.put(db_session, blocker, blocked)
        assert refused(db_session, questions.ask, asker, auction, "New?") == "blocked"
        blocks.remove(db_session, blocker, blocked)
    end(db_session, auction)
    assert refused(db_session, questions.ask, asker, auction, "New?") == "closed"


def test_a_scheduled_auction_can_be_asked_about(db_session: Session, asker: UUID) -> None:
    draft = a_draft()
    later = make_published_auction(db_session, opens_at=draft.ends_at - 60_000).id
    assert questions.ask(db_session, asker, later, "New?").text == "New?"


def test_a_user_asks_20_questions_about_an_auction(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        asker, other = make_user(session), make_user(session)
        auction, another = make_published_auction(session).id, make_published_auction(session).id
        for _ in range(questions.MAX_QUESTIONS - 2):
            questions.ask(session, asker, auction, "And now?")

    def ask() -> object:
        with sync_database.transaction() as session:
            return type(questions.ask(session, asker, auction, "And now?"))

    assert sorted(map(str, at_once([ask] * 5))) == sorted(
        [str(QuestionView)] * 2 + ["too_many_questions"] * 3
    )
    with sync_database.transaction() as session:
        questions.ask(session, other, auction, "Me too?")
        questions.ask(session, asker, another, "And this?")


def test_a_question_is_taken_back_until_it_is_answered(
    db_session: Session, seller: UUID, auction: UUID, asker: UUID
) -> None:
    one, two = (questions.ask(db_session, asker, auction, "New?").id for _ in range(2))
    questions.answer(db_session, seller, one, "Yes.")
    assert refused(db_session, questions.take_back, asker, one) == "wrong_state"
    for user in (seller, make_user(db_session)):
        assert refused(db_session, questions.take_back, user, two) == "forbidden"
    questions.take_back(db_session, asker, two)
    assert refused(db_session, questions.take_back, asker, two) == "not_found"
    assert [question.id for question in questions.page(db_session, auction, None, 5).items] == [one]


def test_a_question_is_not_taken_back_and_answered_at_once(sync_database: SyncDatabase) -> None:
    for _ in range(5):
        with sync_database.transaction() as session:
            asker, seller = make_user(session), make_user(session)
            auction = make_published_auction(session, seller).id
            question = questions.ask(session, asker, auction, "New?").id

        def run(use_case: object, *args: object) -> object:
            with sync_database.transaction() as session:
                return bool(use_case(session, *args))  # type: ignore[operator]

        results = at_once(
            [
                partial(run, questions.take_back, asker, question),
                partial(run, questions.answer, seller, question, "Yes."),
            ]
        )
        assert results in ([False, "not_found"], ["wrong_state", True])


def test_a_seller_sees_the_questions_about_all_own_auctions_and_those_that_wait(
    db_session: Session, seller: UUID, auction: UUID, asker: UUID
) -> None:
    other = make_published_auction(db_session, seller, title="A desk").id
    over = make_published_auction(db_session, seller).id
    about = [questions.ask(db_session, asker, id, "New?").id for id in (auction, other, over, other)]
    questions.ask(db_session, asker, make_published_auction(db_session).id, "Not mine?")
    questions.answer(db_session, seller, about[3], "Yes.")
    end(db_session, over)

    def listed(unanswered: bool) -> list[UUID]:
        first = questions.to_seller(db_session, seller, unanswered, None, 3)
        rest = questions.to_seller(db_session, seller, unanswered, first.next_cursor, 3).items
        return [question.id for question in first.items + (rest if first.next_cursor else [])]

    assert listed(False) == about[::-1]
    assert listed(True) == [about[1], about[0]]
    assert questions.to_seller(db_session, seller, True, None, 5).items[0].title == "A desk"
    assert questions.to_seller(db_session, asker, False, None, 5).items == []
    assert refused(db_session, questions.to_seller, seller, False, "no cursor", 5) == "invalid_cursor"


def test_what_a_moderator_has_hidden_is_gone_for_everybody(
    db_session: Session, seller: UUID, auction: UUID, asker: UUID
) -> None:
    question = questions.ask(db_session, asker, auction, "Rude?").id
    db_session.execute(update(Question).where(Question.id == question).values(hidden_at=func.now()))
    assert questions.page(db_session, auction, None, 5).items == []
    for unanswered in (True, False):
        assert questions.to_seller(db_session, seller, unanswered, None, 5).items == []
    assert refused(db_session, questions.answer, seller, question, "No.") == "not_found"
    assert refused(db_session, questions.take_back, asker, question) == "not_found"
    report = (ReportKind.QUESTION, question, ReportReason.OFFENSIVE, "")
    assert refused(db_session, reports.make, seller, *report) == "not_found"


def test_a_question_is_reported(db_session: Session, seller: UUID, auction: UUID, asker: UUID) -> None:
    question = questions.ask(db_session, asker, auction, "Rude?").id
    report = (ReportKind.QUESTION, question, ReportReason.OFFENSIVE, "")
    assert reports.make(db_session, seller, *report).subject_id == question
    assert refused(db_session, reports.make, asker, *report) == "forbidden"


def test_a_deleted_account_leaves_no_words(db_session: Session, seller: UUID, auction: UUID) -> None:
    asker = make_user(db_session)
    answered = questions.ask(db_session, asker, auction, "I am Joon. New?").id
    questions.ask(db_session, asker, auction, "Is anybody there?")
    questions.answer(db_session, seller, answered, "I am Mina. Yes.")
    account_deletion.delete(db_session, asker, NO_PASSWORD)
    db_session.expire_all()
    [left] = questions.page(db_session, auction, None, 5).items
    assert (left.id, left.text, left.asker_name) == (answered, "", "Deleted user")
    assert left.answer == "I am Mina. Yes."
    db_session.execute(update(Auction).where(Auction.id == auction).values(status=AuctionStatus.UNSOLD))
    account_deletion.delete(db_session, seller, NO_PASSWORD)
    db_session.expire_all()
    assert questions.page(db_session, auction, None, 5).items[0].answer == ""
    assert refused(db_session, questions.ask, asker, auction, "Again?") == "unauthenticated"
