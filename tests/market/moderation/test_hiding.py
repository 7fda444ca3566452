"""Reports are resolved, and what is hidden is seen by nobody who should not."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import select

from market import audit
from market.accounts import accounts
from market.audit import Actor
from market.bidding import history, neighbourhood, paddles
from market.listings import (
    auction_views,
    listings,
    questions,
    search,
    watches,
)
from market.listings.search import Sort, Wanted
from market.moderation import auction_actions, hiding, reports
from market.orders import chats, orders, reviews
from store.ids import new_id
from store.models import AuditEntry, ReportKind, ReportOutcome, ReportReason, Review, Role
from tests.support.factories import (
    a_draft,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.races import at_once
from tests.support.trade import Trade


@pytest.fixture
def moderator(trade: Trade) -> Actor:
    with trade.database.transaction() as session:
        return Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR)


def noted(trade: Trade, actor: Actor) -> list[tuple[str, str]]:
    """What the audit log has of an actor: action and id."""
    with trade.database.transaction() as session:
        rows = session.execute(
            select(AuditEntry.action, AuditEntry.subject_id)
            .where(AuditEntry.actor_id == actor.user_id)
            .order_by(AuditEntry.id)
        )
        return [(action, subject_id) for action, subject_id in rows]


def found(trade: Trade, seller: UUID) -> list[UUID]:
    """The auctions of a seller that everybody can find."""
    page = trade.do(search.find, Wanted(seller=seller), Sort.NEWEST, None, 10, True, None)
    assert page.facets is not None
    assert sum(kind.count for kind in page.facets.kind) == len(page.hits)
    return [hit.auction.id for hit in page.hits]


def test_a_hidden_auction_is_there_for_those_who_take_part(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        bidder, stranger = make_funded_user(session), make_funded_user(session)
        auction = make_published_auction(session)
        paddles.take(session, bidder, auction.id, 2_000)
    assert found(trade, auction.seller_id) == [auction.id]

    hidden = trade.do(hiding.hide_auction, moderator, auction.id, True, "Fake")

    assert hidden.hidden_at is not None
    assert trade.do(hiding.hide_auction, moderator, auction.id, True, "Again") == hidden
    assert found(trade, auction.seller_id) == []
    for viewer in (auction.seller_id, bidder, moderator.user_id):
        assert trade.do(auction_views.get, auction.id, viewer).hidden
    for nobody in (stranger, None):
        assert trade.refused(auction_views.get, auction.id, nobody) == "not_found"
    assert trade.refused(paddles.take, stranger, auction.id, 2_000) == "not_found"
    assert trade.do(paddles.take, bidder, auction.id, 2_000).limit == 2_000
    assert trade.refused(history.bids, auction.id, None, 10) == "not_found"
    assert trade.refused(history.prices, auction.id) == "not_found"
    assert trade.refused(questions.page, auction.id, None, 10) == "not_found"
    for act in (partial(questions.ask, text="Is it real?"), watches.put):
        assert trade.refused(act, stranger, auction.id) == "not_found"
        trade.do(act, bidder, auction.id)

    assert trade.do(hiding.hide_auction, moderator, auction.id, False, "It is real").hidden_at is None
    assert not trade.do(auction_views.get, auction.id).hidden
    assert found(trade, auction.seller_id) == [auction.id]
    assert noted(trade, moderator) == [("hide", str(auction.id)), ("show", str(auction.id))]


@pytest.mark.usefixtures("some_regions")
def test_nobody_new_bids_in_a_hidden_auction(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        first, second = (make_neighbour(session, 10_000)[0] for _ in range(2))
        neighbourhood.place(session, first, auction.id, "one", 1_000)
        hiding.hide_auction(session, moderator, auction.id, True, "Fake")
    assert trade.refused(neighbourhood.place, second, auction.id, "one", 2_000) == "not_found"
    trade.do(neighbourhood.place, first, auction.id, "two", 2_000)


def test_a_draft_cannot_be_hidden(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        draft = listings.create(session, trade.seller, a_draft()).id
    for auction_id in (draft, new_id()):
        assert trade.refused(hiding.hide_auction, moderator, auction_id, True, "x") == "not_found"


def test_the_stars_of_a_hidden_review_do_not_count(trade: Trade, moderator: Actor) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    review = trade.do(reviews.write, trade.buyer, trade.order_id, 1, "A thief!")
    trade.do(reviews.write, trade.seller, trade.order_id, 5, "")

    def seen() -> tuple[int, int, int]:
        """The seller's reviews, stars, and those that are shown."""
        seller = trade.user(trade.seller)
        shown = trade.do(reviews.page, trade.seller, None, 10).items
        return seller.reviews, seller.stars, len(shown)

    assert seen() == (1, 1, 1)
    for _ in range(2):
        trade.do(hiding.hide_review, moderator, review.id, True, "An insult")
        trade.do(reviews.count_due)
        assert seen() == (0, 0, 0)
    trade.do(hiding.hide_review, moderator, review.id, False, "None")
    trade.do(reviews.count_due)
    assert seen() == (1, 1, 1)
    assert noted(trade, moderator) == [("hide", str(review.id)), ("show", str(review.id))]
    assert trade.refused(hiding.hide_review, moderator, new_id(), True, "x") == "not_found"


def test_a_review_hidden_before_it_is_visible_never_counts(trade: Trade, moderator: Actor) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    review = trade.do(reviews.write, trade.buyer, trade.order_id, 1, "A thief!")
    trade.do(hiding.hide_review, moderator, review.id, True, "An insult")
    trade.do(reviews.write, trade.seller, trade.order_id, 5, "")
    trade.pass_time(timedelta(days=31))
    trade.do(reviews.count_due)
    with trade.database.transaction() as session:
        assert not session.get_one(Review, review.id).counted
    assert (trade.user(trade.seller).reviews, trade.user(trade.buyer).reviews) == (0, 1)


def test_a_hidden_message_has_no_text(trade: Trade, moderator: Actor) -> None:
    message = trade.do(chats.send, trade.seller, trade.order_id, "Pay me elsewhere.")
    trade.do(hiding.hide_message, moderator, message.id, True, "Fraud")
    for side in (trade.seller, trade.buyer):
        [seen] = trade.do(chats.page, side, trade.order_id, None, 10).items
        assert (seen.id, seen.text, seen.hidden) == (message.id, "", True)
    trade.do(hiding.hide_message, moderator, message.id, False, "None")
    [seen] = trade.do(chats.page, trade.buyer, trade.order_id, None, 10).items
    assert (seen.text, seen.hidden) == ("Pay me elsewhere.", False)
    assert trade.refused(hiding.hide_message, moderator, new_id(), True, "x") == "not_found"


def test_nobody_reads_a_hidden_question(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        asker, auction = make_user(session), make_published_auction(session).id
        question = questions.ask(session, asker, auction, "Call 010-0000-0000!")
    trade.do(reports.make, trade.buyer, ReportKind.QUESTION, question.id, ReportReason.SPAM, "")
    [waiting] = [item for item in trade.do(reports.queue, None, 100).items if item.subject_id == question.id]
    assert (waiting.kind, waiting.owner_id, waiting.text) == (ReportKind.QUESTION, asker, question.text)
    trade.do(hiding.hide_question, moderator, question.id, True, "An advertisement")
    assert trade.do(questions.page, auction, None, 10).items == []
    trade.do(hiding.hide_question, moderator, question.id, False, "None")
    assert trade.do(questions.page, auction, None, 10).items == [question]
    assert trade.refused(hiding.hide_question, moderator, new_id(), True, "x") == "not_found"


def test_reports_wait_by_what_they_are_about_and_are_resolved_together(
    trade: Trade, moderator: Actor
) -> None:
    message = trade.do(chats.send, trade.seller, trade.order_id, "Pay me elsewhere.")
    with trade.database.transaction() as session:
        people = [make_user(session) for _ in range(2)]
        auction = make_published_auction(session, trade.seller, title="A fake")
    spam, fraud = ReportReason.SPAM, ReportReason.FRAUD
    first = trade.do(reports.make, people[0], ReportKind.AUCTION, auction.id, fraud, "It is fake.")
    trade.do(reports.make, trade.buyer, ReportKind.MESSAGE, message.id, spam, "")
    trade.do(reports.make, people[0], ReportKind.USER, trade.seller, spam, "")
    last = trade.do(reports.make, people[1], ReportKind.AUCTION, auction.id, spam, "")

    def queue() -> dict[UUID, reports.OpenReports]:
        items: list[reports.OpenReports] = []
        cursor = None
        while True:
            page = trade.do(reports.queue, cursor, 2)
            items += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        assert [item.id for item in items] == sorted(item.id for item in items)
        return {item.subject_id: item for item in items}

    waiting = queue()
    assert waiting[auction.id] == reports.OpenReports(
        id=first.id,
        kind=ReportKind.AUCTION,
        subject_id=auction.id,
        owner_id=trade.seller,
        text="A fake",
        count=2,
        reasons=[fraud, spam],
        first_at=first.created_at,
        last_at=last.created_at,
    )
    assert (waiting[message.id].text, waiting[message.id].owner_id) == ("Pay me elsewhere.", trade.seller)
    assert (waiting[trade.seller].count, waiting[trade.seller].owner_id) == (1, trade.seller)
    [one] = trade.do(reports.about, last.id, None, 1).items
    assert (one.id, one.reporter_id, one.text, one.outcome) == (first.id, people[0], "It is fake.", None)

    resolved = trade.do(reports.resolve, moderator, last.id, ReportOutcome.UPHELD, "It is fake")

    assert resolved.count == 2
    assert auction.id not in queue()
    assert message.id in queue()
    assert [one.outcome for one in trade.do(reports.about, first.id, None, 5).items] == ["upheld"] * 2
    again = trade.refused(reports.resolve, moderator, first.id, ReportOutcome.DISMISSED, "No")
    assert again == "wrong_state"
    assert trade.refused(reports.resolve, moderator, new_id(), ReportOutcome.DISMISSED, "No") == "not_found"
    assert trade.refused(reports.about, new_id(), None, 5) == "not_found"
    assert trade.refused(reports.queue, "no cursor", 5) == "invalid_cursor"
    assert noted(trade, moderator) == [("resolve_reports", str(auction.id))]


def test_nobody_moderates_in_an_own_matter(trade: Trade) -> None:
    """Neither what is one's own, nor what one is a side of, nor an auction in which one wants to win."""
    trade.ship()
    message = trade.do(chats.send, trade.seller, trade.order_id, "Hello.")
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    review = trade.do(reviews.write, trade.buyer, trade.order_id, 1, "A thief!")
    with trade.database.transaction() as session:
        auction = make_published_auction(session, trade.seller).id
        bidder, asker = make_funded_user(session), make_user(session)
        paddles.take(session, bidder, auction, 2_000)
        question = questions.ask(session, asker, auction, "Is it still there?")
        reporter = make_user(session)

    def report(kind: ReportKind, subject_id: UUID) -> UUID:
        return trade.do(reports.make, reporter, kind, subject_id, ReportReason.SPAM, "").id

    message_report = trade.do(
        reports.make, trade.buyer, ReportKind.MESSAGE, message.id, ReportReason.SPAM, ""
    ).id
    seller, buyer, trader, curious = (
        Actor(user_id, Role.ADMIN) for user_id in (trade.seller, trade.buyer, bidder, asker)
    )
    for user_id in (bidder, asker):
        trade.do(accounts.set_role, user_id, Role.ADMIN)
    for actor in (seller, buyer):
        assert trade.refused(hiding.hide_review, actor, review.id, True, "x") == "forbidden"
        assert trade.refused(hiding.hide_message, actor, message.id, True, "x") == "forbidden"
    for actor in (seller, curious):
        assert trade.refused(hiding.hide_question, actor, question.id, True, "x") == "forbidden"
    for actor in (seller, trader):
        assert trade.refused(hiding.hide_auction, actor, auction, True, "x") == "forbidden"
        assert trade.refused(auction_actions.cancel_auction, actor, auction, "x") == "forbidden"
    for actor, report_id in (
        (seller, report(ReportKind.AUCTION, auction)),
        (seller, report(ReportKind.USER, trade.seller)),
        (seller, message_report),
        (curious, report(ReportKind.QUESTION, question.id)),
    ):
        dismissed = ReportOutcome.DISMISSED
        assert trade.refused(reports.resolve, actor, report_id, dismissed, "x") == "forbidden"
        trade.do(reports.resolve, trader, report_id, dismissed, "x")
    trade.do(hiding.hide_auction, curious, auction, True, "Fake")
    for actor in (seller, buyer):
        assert noted(trade, actor) == []


def test_a_message_is_hidden_once_by_many_at_once(trade: Trade) -> None:
    message = trade.do(chats.send, trade.seller, trade.order_id, "Pay me elsewhere.")
    with trade.database.transaction() as session:
        moderators = [Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR) for _ in range(8)]
    at_once([partial(trade.do, hiding.hide_message, actor, message.id, True, "x") for actor in moderators])
    assert sum(len(noted(trade, actor)) for actor in moderators) == 1


@pytest.mark.usefixtures("some_regions")
def test_what_a_cancelling_has_changed_is_noted(trade: Trade, moderator: Actor) -> None:
    with trade.database.transaction() as session:
        local, live = make_neighbourhood_auction(session).id, make_published_auction(session).id
    for auction_id in (local, local, live):
        trade.do(auction_actions.cancel_auction, moderator, auction_id, "Fake")
    with trade.database.transaction() as session:
        entries = audit.page(session, moderator.user_id, None, "cancel", None, 10).items
    assert [(entry.subject_id, entry.before, entry.after) for entry in entries] == [
        (str(live), {"status": "published"}, None),
        (str(local), {"status": "published"}, {"status": "cancelled"}),
    ]
