"""What live auctions tell: stored with the bids by write-back, once whatever dies, and pushed after the commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.notifications import notifications
from market.notifications.notifications import NewNotification
from store.database import SyncDatabase
from store.models import Event, Notification, NotificationDelivery
from store.redis.auctions import cancel_auction, place_bid
from store.redis.clients import SyncHot
from store.redis.pushes import channel_of
from tasks.bidding.settlement import settle_due
from tasks.bidding.write_back import drain
from tasks.platform.upkeep import forget_notifications
from tests.support.factories import MINUTE_MS, make_user
from tests.support.stage import Stage


class Crash(BaseException):
    """The process dies here."""


class DyingDatabase(SyncDatabase):
    """Dies in its second transaction, which writes the records: before its commit, or right after it."""

    def __init__(self, url: str, hot: SyncHot, committed: bool) -> None:
        super().__init__(url, hot)
        self._committed = committed
        self._transactions = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._transactions += 1
        dies = self._transactions == 2
        if dies and self._committed:
            with self._sessions.begin() as session:
                yield session
            raise Crash
        with super().transaction() as session:
            yield session
            if dies:
                session.flush()
                raise Crash


def told(stage: Stage, user: UUID) -> list[tuple[str, Any]]:
    """What stands in the user's list, in the order of writing: the event, and the bid or price."""
    with stage.resources.database.transaction() as session:
        rows = session.scalars(
            select(Notification).where(Notification.user_id == user).order_by(Notification.id)
        )
        return [(row.event, row.data.get("seq", row.data.get("price"))) for row in rows]


def sent(stage: Stage, user: UUID) -> list[str]:
    """The events of which a delivery waits."""
    with stage.resources.database.transaction() as session:
        return list(
            session.scalars(
                select(Notification.event)
                .join(NotificationDelivery, NotificationDelivery.notification_id == Notification.id)
                .where(Notification.user_id == user)
                .order_by(Notification.id)
            )
        )


@contextmanager
def listening(stage: Stage, user: UUID) -> Iterator[list[Any]]:
    """What the user is pushed inside; it is there at the end."""
    hot = stage.resources.hot
    pubsub = hot.client.pubsub()
    pubsub.ssubscribe(channel_of(user))
    assert pubsub.get_sharded_message(timeout=10) is not None
    heard: list[Any] = []
    yield heard
    hot.client.execute_command("SPUBLISH", channel_of(user), b'"the end"')
    while (message := pubsub.get_sharded_message(timeout=10)) is not None:
        if message["data"] == b'"the end"':
            break
        heard.append(msgspec.json.decode(message["data"]))
    pubsub.close()


def test_who_is_outbid_is_told_once_however_often_it_is_written_back(stage: Stage) -> None:
    auction = stage.auction()
    ann, bob = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, ann, 5_000)
    beating = stage.bid(auction, bob, 6_000)

    with listening(stage, ann) as heard:
        drain(stage.resources)
        stage.log_anything(auction, msgspec.json.encode(beating))
        for _ in range(3):
            drain(stage.resources)

    assert told(stage, ann) == [("outbid", 2)]
    assert told(stage, bob) == []
    [push] = heard
    assert (push["type"], push["event"], push["auction"], push["unread"]) == (
        "notification",
        "outbid",
        str(auction),
        1,
    )
    assert push["data"] == {
        "title": "A bicycle",
        "epoch": 1,
        "seq": 2,
        "price": 5_100,
        "next_minimum": beating.next_minimum,
        "ends_at": beating.ends_at,
    }
    assert sent(stage, ann) == ["outbid"]


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
def test_a_crash_neither_loses_a_notification_nor_doubles_it(
    stage: Stage, database_url: str, committed: bool
) -> None:
    auction = stage.auction()
    ann, bob = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, ann, 5_000)
    stage.bid(auction, bob, 6_000)
    database = DyingDatabase(database_url, stage.resources.hot, committed)

    with pytest.raises(Crash):
        drain(replace(stage.resources, database=database))
    database.dispose()
    assert told(stage, ann) == ([("outbid", 2)] if committed else [])

    drain(stage.resources)
    assert told(stage, ann) == [("outbid", 2)]
    assert sent(stage, ann) == ["outbid"]


def test_without_redis_after_the_commit_only_the_push_is_lost(stage: Stage, database_url: str) -> None:
    auction = stage.auction()
    ann, bob = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, ann, 5_000)
    stage.bid(auction, bob, 6_000)
    database = SyncDatabase(database_url, SyncHot.connect("redis://127.0.0.1:1"))

    assert drain(replace(stage.resources, database=database))

    database.dispose()
    assert told(stage, ann) == [("outbid", 2)]


def test_of_many_times_between_two_runs_all_stand_in_the_list_and_the_last_one_leaves(stage: Stage) -> None:
    auction = stage.auction()
    ann, bob = stage.bidder(auction), stage.bidder(auction)
    with listening(stage, ann) as anns, listening(stage, bob) as bobs:
        for turn in range(4):
            stage.bid(auction, ann, 5_000 + 2_000 * turn)
            stage.bid(auction, bob, 6_000 + 2_000 * turn)
        drain(stage.resources)

    assert sorted(told(stage, ann)) == [("outbid", seq) for seq in (2, 4, 6, 8)]
    assert sorted(told(stage, bob)) == [("leading", 8), *(("outbid", seq) for seq in (3, 5, 7))]
    assert [(push["event"], push["data"]["seq"], push["unread"]) for push in anns] == [("outbid", 8, 4)]
    assert [(push["event"], push["data"]["seq"]) for push in bobs] == [("leading", 8)]
    assert (sent(stage, ann), sent(stage, bob)) == (["outbid"], [])


def test_only_who_has_bid_before_leads_again(stage: Stage) -> None:
    auction = stage.auction()
    ann, bob, eve = (stage.bidder(auction) for _ in range(3))
    stage.bid(auction, ann, 5_000)
    stage.bid(auction, bob, 6_000)
    drain(stage.resources)
    stage.bid(auction, ann, 7_000)
    drain(stage.resources)
    stage.bid(auction, ann, 8_000)  # her own maximum, raised
    stage.bid(auction, eve, 7_500)  # does not take the lead
    drain(stage.resources)
    assert told(stage, ann) == [("outbid", 2), ("leading", 3)]
    assert told(stage, bob) == [("outbid", 3)]
    assert told(stage, eve) == []


def test_the_seller_hears_once_that_the_reserve_is_met_and_nobody_how_high_a_maximum_is(
    stage: Stage,
) -> None:
    auction = stage.auction(reserve=20_000)
    seller = stage.stored(auction).seller_id
    ann, bob = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, ann, 10_000)
    drain(stage.resources)
    assert told(stage, seller) == []
    stage.bid(auction, bob, 77_777)
    drain(stage.resources)
    stage.bid(auction, ann, 33_333)
    drain(stage.resources)
    assert told(stage, seller) == [("reserve_met", 2)]
    with stage.resources.database.transaction() as session:
        written = str(session.scalars(select(Notification.data)).all())
    assert "77777" not in written


def test_who_leads_or_was_outbid_hears_once_that_the_end_has_moved(stage: Stage) -> None:
    end = stage.resources.hot.now_ms() + MINUTE_MS // 2
    auction = stage.auction(ends_at=end)
    ann, bob = stage.bidder(auction), stage.bidder(auction)

    def hear(*bids: tuple[UUID, int]) -> list[list[str]]:
        for bidder, maximum in bids:
            # A bid in the same ms as the last one would not move the end.
            last = stage.resources.hot.now_ms()
            while stage.resources.hot.now_ms() == last:
                pass
            stage.bid(auction, bidder, maximum)
        drain(stage.resources)
        return [sorted(event for event, _ in told(stage, user)) for user in (ann, bob)]

    assert hear((ann, 5_000), (bob, 3_000), (bob, 4_000)) == [["extended"], []]
    assert hear((bob, 6_000), (ann, 7_000)) == [["extended", "leading", "outbid"], ["extended", "outbid"]]


def test_the_end_is_told_to_everybody_who_has_bid_and_to_the_seller(stage: Stage) -> None:
    auction = stage.auction()
    seller = stage.stored(auction).seller_id
    ann, bob, idle = (stage.bidder(auction) for _ in range(3))
    stage.bid(auction, ann, 5_000)
    stage.bid(auction, bob, 6_000)
    stage.seal(auction)
    with listening(stage, bob) as heard:
        for _ in range(2):
            drain(stage.resources)
            settle_due(stage.resources)
    assert told(stage, ann) == [("outbid", 2), ("lost", 5_100)]
    assert told(stage, bob) == [("won", 5_100)]
    assert told(stage, seller) == [("sold", 5_100)]
    assert told(stage, idle) == []
    order, push = heard
    assert (order["type"], order["action"]) == ("order", "sell")
    assert push["event"] == "won"
    assert push["order"] is not None


def test_below_the_reserve_nobody_has_won(stage: Stage) -> None:
    auction = stage.auction(reserve=20_000)
    ann = stage.bidder(auction)
    stage.bid(auction, ann, 10_000)
    stage.seal(auction)
    drain(stage.resources)
    settle_due(stage.resources)
    assert told(stage, ann) == [("unsold", 1_000)]
    assert told(stage, stage.stored(auction).seller_id) == [("unsold", 1_000)]


def test_that_it_was_cancelled_also_those_hear_who_only_had_a_paddle(stage: Stage) -> None:
    auction = stage.auction()
    ann, idle = stage.bidder(auction), stage.bidder(auction)
    stage.bid(auction, ann, 10_000)
    stage.resources.hot.run(cancel_auction(auction, force=True))
    for _ in range(2):
        drain(stage.resources)
        settle_due(stage.resources)
    people = (ann, idle, stage.stored(auction).seller_id)
    assert [told(stage, user) for user in people] == [[("cancelled", None)]] * 3


def test_what_another_process_repeats_at_the_same_time_is_told_once(stage: Stage) -> None:
    auctions = [stage.auction() for _ in range(3)]
    beaten = []
    for auction in auctions:
        ann, bob = stage.bidder(auction), stage.bidder(auction)
        stage.bid(auction, ann, 5_000)
        call = place_bid(auction, bob, "same", 6_000)
        for _ in range(3):
            stage.resources.hot.run(call)
        beaten.append(ann)
    for _ in range(2):
        drain(stage.resources)
    assert [told(stage, user) for user in beaten] == [[("outbid", 2)]] * 3
    with stage.resources.database.transaction() as session:
        count = select(func.count()).where(
            Notification.auction_id.in_(auctions), Notification.event == Event.OUTBID
        )
        assert session.scalar(count) == 3


def test_all_that_is_old_is_forgotten_in_many_transactions(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "FORGOTTEN", 2)
    with stage.resources.database.transaction() as session:
        ann = make_user(session)
        notifications.notify(session, [NewNotification(ann, Event.WON, str(n), {}) for n in range(5)])
        old = func.now() - timedelta(days=notifications.KEEP_DAYS, seconds=1)
        session.execute(update(Notification).where(Notification.user_id == ann).values(created_at=old))
    forget_notifications(stage.resources)
    assert told(stage, ann) == []
