"""Blocks and reports."""

import pytest

from market import audit
from market.accounts import blocks
from market.audit import Actor
from market.bidding import neighbourhood, paddles
from market.listings import listings
from market.moderation import hiding, reports, users
from market.orders import chats, orders, reviews
from store.ids import new_id
from store.models import ReportKind, ReportOutcome, ReportReason, Role
from tests.support.factories import (
    a_draft,
    make_funded_user,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)
from tests.support.trade import Trade


def test_a_blocked_user_takes_no_paddle(trade: Trade) -> None:
    with trade.database.transaction() as session:
        buyer = make_funded_user(session)
        auction = make_published_auction(session, trade.seller)
        blocks.put(session, trade.seller, buyer)
    assert trade.refused(paddles.take, buyer, auction.id, 2_000) == "blocked"
    trade.do(blocks.remove, trade.seller, buyer)
    assert trade.do(paddles.take, buyer, auction.id, 2_000).limit == 2_000


@pytest.mark.usefixtures("some_regions")
def test_a_blocked_user_does_not_bid_among_neighbours(trade: Trade) -> None:
    with trade.database.transaction() as session:
        auction = make_neighbourhood_auction(session)
        buyer, _ = make_neighbour(session, 10_000)
        blocks.put(session, auction.seller_id, buyer)
    assert trade.refused(neighbourhood.place, buyer, auction.id, "one", 2_000) == "blocked"
    trade.do(blocks.remove, auction.seller_id, buyer)
    trade.do(neighbourhood.place, buyer, auction.id, "one", 2_000)


def test_blocks_are_listed_put_once_and_removed_once(trade: Trade) -> None:
    with trade.database.transaction() as session:
        me = make_user(session)
        others = sorted(make_user(session, f"Number {number}") for number in range(3))
        for other in [*others, *others]:
            blocks.put(session, me, other)
    first = trade.do(blocks.page, me, None, 2)
    rest = trade.do(blocks.page, me, first.next_cursor, 2)
    assert [block.user_id for block in first.items + rest.items] == others
    assert rest.next_cursor is None
    trade.do(blocks.remove, me, others[0])
    assert trade.refused(blocks.remove, me, others[0]) == "not_found"
    assert trade.refused(blocks.put, me, me) == "forbidden"
    assert trade.refused(blocks.put, me, new_id()) == "not_found"
    assert trade.refused(blocks.page, me, "no cursor", 2) == "invalid_cursor"


def test_what_one_can_see_is_reported_once(trade: Trade) -> None:
    message = trade.do(chats.send, trade.seller, trade.order_id, "Pay me elsewhere.")
    with trade.database.transaction() as session:
        auction = make_published_auction(session, trade.seller)
    for kind, subject in (
        (ReportKind.MESSAGE, message.id),
        (ReportKind.AUCTION, auction.id),
        (ReportKind.USER, trade.seller),
    ):
        first = trade.do(reports.make, trade.buyer, kind, subject, ReportReason.FRAUD, "Look.")
        assert (first.kind, first.subject_id, first.reason) == (kind, subject, ReportReason.FRAUD)
        again = trade.do(reports.make, trade.buyer, kind, subject, ReportReason.SPAM, "Again.")
        assert again == first
        assert trade.refused(reports.make, trade.seller, kind, subject, ReportReason.SPAM, "") == "forbidden"
        assert trade.refused(reports.make, trade.buyer, kind, new_id(), ReportReason.SPAM, "") == "not_found"


def test_a_review_is_reported_as_soon_as_everybody_sees_it(trade: Trade) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    review = trade.do(reviews.write, trade.buyer, trade.order_id, 1, "A thief!").id
    with trade.database.transaction() as session:
        moderator = Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR)
        stranger, late = make_user(session), make_user(session)
    report = (ReportKind.REVIEW, review, ReportReason.OFFENSIVE, "It insults.")
    for user in (trade.seller, stranger):
        assert trade.refused(reports.make, user, *report) == "not_found"
    trade.do(reviews.write, trade.seller, trade.order_id, 5, "")
    for user in (trade.seller, stranger):
        first = trade.do(reports.make, user, *report)
        assert (first.kind, first.subject_id) == (ReportKind.REVIEW, review)
        assert trade.do(reports.make, user, ReportKind.REVIEW, review, ReportReason.SPAM, "") == first
    assert trade.refused(reports.make, trade.buyer, *report) == "forbidden"

    [waiting] = [item for item in trade.do(reports.queue, None, 100).items if item.subject_id == review]
    assert (waiting.kind, waiting.owner_id, waiting.text) == (ReportKind.REVIEW, trade.buyer, "A thief!")
    assert (waiting.count, waiting.reasons) == (2, [ReportReason.OFFENSIVE])
    assert [one.kind for one in trade.do(users.get, trade.buyer).reports] == [ReportKind.REVIEW] * 2

    trade.do(hiding.hide_review, moderator, review, True, "An insult")
    trade.do(reports.resolve, moderator, waiting.id, ReportOutcome.UPHELD, "An insult")
    assert review not in [item.subject_id for item in trade.do(reports.queue, None, 100).items]
    assert trade.refused(reports.make, late, *report) == "not_found"
    noted = trade.do(audit.page, moderator.user_id, str(review), None, None, 10).items
    assert [(entry.action, entry.subject_kind) for entry in noted] == [
        ("resolve_reports", "review"),
        ("hide", "review"),
    ]


def test_what_one_cannot_see_is_not_found(trade: Trade) -> None:
    message = trade.do(chats.send, trade.seller, trade.order_id, "Hello.")
    with trade.database.transaction() as session:
        stranger = make_user(session)
        draft = listings.create(session, trade.seller, a_draft()).id
    for kind, subject in ((ReportKind.MESSAGE, message.id), (ReportKind.AUCTION, draft)):
        assert trade.refused(reports.make, stranger, kind, subject, ReportReason.SPAM, "") == "not_found"
