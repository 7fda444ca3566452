"""What looks like fraud is found, and what does not is not."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.orm import Session

from market.audit import Actor
from market.errors import Refusal
from market.moderation import fraud_signals
from market.times import clock
from store.ids import new_id
from store.models import (
    Auction,
    AuditEntry,
    Bid,
    FraudSignal,
    FraudSignalKind,
    LogInTrace,
    Paddle,
    PaddleStatus,
    Role,
    User,
)
from tests.support.bids import take_paddle
from tests.support.factories import make_funded_user, make_order, make_published_auction, make_user
from tests.support.plans import Plans, nodes

LIMIT = 1_000
MINUTE = timedelta(minutes=1)


def found(session: Session, kind: FraudSignalKind, user_id: UUID) -> list[tuple[UUID | None, dict[str, int]]]:
    """The open signals of this kind about a user, whom else they are about, and why."""
    fraud_signals.find(session, kind)
    rows = session.execute(
        select(FraudSignal.other_id, FraudSignal.why).where(
            FraudSignal.kind == kind, FraudSignal.user_id == user_id, FraudSignal.reviewed_at.is_(None)
        ),
        execution_options={"populate_existing": True},
    )
    return [(other_id, why) for other_id, why in rows]


def log_in(session: Session, user_id: UUID, address: bytes, device: bytes = b"a browser") -> None:
    fraud_signals.remember_log_in(session, user_id, address, device)


def test_a_bidder_at_the_address_of_the_seller(db_session: Session) -> None:
    bidder, seller, other = make_funded_user(db_session), make_user(db_session), make_user(db_session)
    kind, home = FraudSignalKind.SHARED_ADDRESS, new_id().bytes
    log_in(db_session, bidder, home)
    log_in(db_session, seller, home, b"another browser")
    log_in(db_session, other, new_id().bytes)
    assert found(db_session, kind, bidder) == []
    take_paddle(db_session, bidder, seller)
    take_paddle(db_session, bidder, other)
    assert found(db_session, kind, bidder) == [
        (seller, {"auctions": 1, "shared": 1, "users": 2, "same_both": 0})
    ]
    take_paddle(db_session, bidder, seller)
    log_in(db_session, seller, home)
    assert found(db_session, kind, bidder) == [
        (seller, {"auctions": 2, "shared": 1, "users": 2, "same_both": 1})
    ]


def test_a_bidder_with_the_device_of_the_seller(db_session: Session) -> None:
    bidder, seller, kind = make_funded_user(db_session), make_user(db_session), FraudSignalKind.SHARED_DEVICE
    rare = new_id().bytes
    for user in (bidder, seller):
        log_in(db_session, user, new_id().bytes, rare)
    assert found(db_session, kind, bidder) == []
    take_paddle(db_session, bidder, seller)
    assert found(db_session, kind, bidder) == [
        (seller, {"auctions": 1, "shared": 1, "users": 2, "same_both": 0})
    ]
    assert found(db_session, FraudSignalKind.SHARED_ADDRESS, bidder) == []


def test_a_browser_that_many_have_says_nothing(db_session: Session) -> None:
    bidder, seller, common = make_funded_user(db_session), make_user(db_session), new_id().bytes
    others = (make_user(db_session) for _ in range(fraud_signals.MAX_DEVICE_USERS - 1))
    for user in (bidder, seller, *others):
        log_in(db_session, user, new_id().bytes, common)
    take_paddle(db_session, bidder, seller)
    assert found(db_session, FraudSignalKind.SHARED_DEVICE, bidder) == []


def test_the_address_of_a_network_says_nothing(db_session: Session) -> None:
    bidder, seller, network = make_funded_user(db_session), make_user(db_session), new_id().bytes
    for user in [bidder, seller, *(make_user(db_session) for _ in range(fraud_signals.MAX_USERS - 2))]:
        log_in(db_session, user, network)
    take_paddle(db_session, bidder, seller)
    assert len(found(db_session, FraudSignalKind.SHARED_ADDRESS, bidder)) == 1
    one_more = make_funded_user(db_session)
    log_in(db_session, one_more, network)
    take_paddle(db_session, one_more, seller)
    assert found(db_session, FraudSignalKind.SHARED_ADDRESS, one_more) == []


def test_a_bidder_who_only_bids_with_one_seller(db_session: Session) -> None:
    bidder, seller, kind = make_funded_user(db_session), make_user(db_session), FraudSignalKind.ONE_SELLER
    for _ in range(fraud_signals.MIN_AUCTIONS - 1):
        take_paddle(db_session, bidder, seller)
    assert found(db_session, kind, bidder) == []
    take_paddle(db_session, bidder, seller)
    assert found(db_session, kind, bidder) == [(seller, {"auctions": fraud_signals.MIN_AUCTIONS, "won": 0})]


def test_a_bidder_with_a_second_seller_is_an_honest_one(db_session: Session) -> None:
    bidder, seller = make_funded_user(db_session), make_user(db_session)
    for _ in range(fraud_signals.MIN_AUCTIONS):
        take_paddle(db_session, bidder, seller)
    take_paddle(db_session, bidder)
    assert found(db_session, FraudSignalKind.ONE_SELLER, bidder) == []


def test_a_user_who_gives_all_paddles_back_and_buys_nothing_is_noticed(db_session: Session) -> None:
    bidder, kind = make_funded_user(db_session), FraudSignalKind.HOLD_HOARDING
    for _ in range(fraud_signals.MIN_RETURNED):
        take_paddle(db_session, bidder)
    give_back = update(Paddle).where(Paddle.bidder_id == bidder).values(status=PaddleStatus.RETURNED)
    assert found(db_session, kind, bidder) == []
    db_session.execute(give_back)
    take_paddle(db_session, bidder)
    assert found(db_session, kind, bidder) == [
        (None, {"taken": fraud_signals.MIN_RETURNED + 1, "returned": fraud_signals.MIN_RETURNED})
    ]
    buyer = make_funded_user(db_session)
    db_session.execute(update(Paddle).where(Paddle.bidder_id == bidder).values(bidder_id=buyer))
    make_order(db_session, buyer_id=buyer)
    assert found(db_session, kind, buyer) == []


def led(session: Session, leader: UUID, ends_in: timedelta, bid_before_end: timedelta) -> Auction:
    """An auction in which somebody leads by one bid."""
    auction = session.get_one(Auction, make_published_auction(session).id)
    auction.ends_at = auction.latest_end = clock(session) + ends_in
    auction.opens_at = auction.ends_at - timedelta(hours=2)
    auction.leader_id, auction.leader_paddle, auction.leader_maximum = leader, 1, 2_000
    auction.price, auction.bids = 1_500, 1
    session.execute(
        insert(Bid).values(
            auction_id=auction.id,
            epoch=1,
            seq=1,
            at=auction.ends_at - bid_before_end,
            bidder_id=leader,
            paddle=1,
            ref="r1",
            maximum=2_000,
            price=1_500,
            leader_id=leader,
            leader_paddle=1,
            leader_maximum=2_000,
            next_minimum=1_600,
            ends_at=auction.ends_at,
            extended=False,
            bids=1,
        )
    )
    session.flush()
    return auction


@pytest.mark.parametrize(
    ("ends_in", "bid_before_end", "age", "suspicious"),
    [
        (5 * MINUTE, MINUTE, timedelta(hours=1), True),
        (5 * MINUTE, MINUTE, timedelta(hours=25), False),
        (5 * MINUTE, 11 * MINUTE, timedelta(hours=1), False),
        (11 * MINUTE, MINUTE, timedelta(hours=1), False),
    ],
)
def test_a_new_account_that_leads_near_the_close(
    db_session: Session, ends_in: timedelta, bid_before_end: timedelta, age: timedelta, suspicious: bool
) -> None:
    leader = make_user(db_session)
    db_session.execute(update(User).where(User.id == leader).values(created_at=func.now() - age))
    auction = led(db_session, leader, ends_in, bid_before_end)
    signs = found(db_session, FraudSignalKind.NEW_ACCOUNT, leader)
    assert len(signs) == suspicious
    for other, why in signs:
        assert (other, why["price"], why["bids"]) == (auction.seller_id, 1_500, 1)
        assert 0 < why["account_age_ms"] - (age + ends_in) // timedelta(milliseconds=1) < 60_000


def test_a_new_account_that_has_won(db_session: Session) -> None:
    leader = make_user(db_session)
    auction = led(db_session, leader, -5 * MINUTE, MINUTE)
    db_session.execute(
        update(User).where(User.id == leader).values(created_at=func.now() - timedelta(hours=1))
    )
    auction.sealed_at = auction.ends_at
    db_session.flush()
    assert len(found(db_session, FraudSignalKind.NEW_ACCOUNT, leader)) == 1


def test_a_signal_is_reviewed_once_and_does_not_come_back(db_session: Session) -> None:
    moderator = Actor(make_user(db_session, role=Role.MODERATOR), Role.MODERATOR)
    bidder, seller = make_funded_user(db_session, display_name="Ann"), make_user(db_session, "Sue")
    for _ in range(fraud_signals.MIN_AUCTIONS):
        take_paddle(db_session, bidder, seller)
    kind = FraudSignalKind.ONE_SELLER
    assert len(found(db_session, kind, bidder)) == 1
    first, *_ = fraud_signals.page(db_session, False, kind, None, 1).items
    assert (first.user_id, first.user_name, first.other_id, first.other_name) == (
        bidder,
        "Ann",
        seller,
        "Sue",
    )
    assert (first.reviewed_at, first.reviewer_id, first.auction_id) == (None, None, None)

    for involved in (bidder, seller):
        with pytest.raises(Refusal, match="forbidden"):
            fraud_signals.review(db_session, Actor(involved, Role.ADMIN), first.id, "Nothing")
    reviewed = fraud_signals.review(db_session, moderator, first.id, "A fan")

    assert reviewed.reviewed_at is not None
    assert reviewed.reviewer_id == moderator.user_id
    take_paddle(db_session, bidder, seller)
    assert found(db_session, kind, bidder) == []
    assert fraud_signals.page(db_session, True, kind, None, 1).items == [reviewed]
    assert first.id not in [view.id for view in fraud_signals.page(db_session, False, None, None, 100).items]
    with pytest.raises(Refusal, match="wrong_state"):
        fraud_signals.review(db_session, moderator, first.id, "Again")
    with pytest.raises(Refusal, match="not_found"):
        fraud_signals.review(db_session, moderator, new_id(), "No such thing")
    with pytest.raises(Refusal, match="invalid_cursor"):
        fraud_signals.page(db_session, False, None, "no cursor", 10)
    [entry] = db_session.scalars(select(AuditEntry).where(AuditEntry.actor_id == moderator.user_id))
    assert (entry.action, entry.subject_id, entry.reason) == ("review_signal", str(first.id), "A fan")


def test_signals_are_looked_for_by_indexes(db_session: Session) -> None:
    db_session.execute(text("SET LOCAL enable_seqscan = off"))
    with Plans(db_session) as explained:
        for kind in FraudSignalKind:
            fraud_signals.find(db_session, kind)
    used = {node.get("Index Name") for plan in explained.plans for node in nodes(plan)}
    assert {"ix_paddles_updated_at", "ix_log_in_traces_device_hash_user_id"} <= used


def test_what_was_reviewed_takes_no_others_place(
    db_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    moderator = Actor(make_user(db_session, role=Role.MODERATOR), Role.MODERATOR)
    bidders, kind = {make_funded_user(db_session) for _ in range(3)}, FraudSignalKind.ONE_SELLER
    for bidder in bidders:
        seller = make_user(db_session)
        for _ in range(fraud_signals.MIN_AUCTIONS):
            take_paddle(db_session, bidder, seller)
    monkeypatch.setattr(fraud_signals, "BATCH", 1)
    reviewed: set[UUID] = set()
    while fraud_signals.find(db_session, kind) and (
        items := fraud_signals.page(db_session, False, kind, None, 100).items
    ):
        for item in items:
            fraud_signals.review(db_session, moderator, item.id, "A fan")
            reviewed.add(item.user_id)
    assert bidders <= reviewed


def test_old_traces_are_deleted(db_session: Session) -> None:
    user = make_user(db_session)
    log_in(db_session, user, b"new")
    long_ago = clock(db_session) - fraud_signals.KEEP_TRACES - MINUTE
    db_session.add(LogInTrace(user_id=user, address_hash=b"old", device_hash=b"", at=long_ago))
    fraud_signals.forget_traces(db_session)
    traces = select(LogInTrace.address_hash).where(LogInTrace.user_id == user)
    assert db_session.scalars(traces).all() == [b"new"]
