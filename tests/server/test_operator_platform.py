"""What operators see of the platform, and switch, by `./neighborbid admin`."""

from uuid import UUID

import msgspec
import pytest
from sqlalchemy import func

from server import operator_actions
from server.errors import Failure
from store.ids import new_id
from store.models import (
    Channel,
    Event,
    FraudSignal,
    FraudSignalKind,
    NotificationDelivery,
    Report,
    ReportKind,
    ReportReason,
)
from store.redis import switches
from store.redis.clients import SyncHot
from store.redis.switches import Switches
from tests.support.factories import make_notification, make_published_auction, make_user
from tests.support.operator import WHY, Night
from tests.support.settings import at

POSITIONS = [
    "registrations is on.",
    "publishing is on.",
    "live_bidding is on.",
    "neighbourhood_bidding is on.",
    "payments is on.",
]


def line_about(night: Night, about: UUID, *arguments: str) -> str:
    """The one line about this that a list has."""
    [line] = [line for line in night.said(*arguments).splitlines() if str(about) in line]
    return line


def told(hot: SyncHot) -> Switches | None:
    """The switches as the realtime processes read them."""
    value = hot.client.hget(switches.KEY, "value")
    return None if value is None else msgspec.json.decode(value, type=Switches)


@pytest.mark.usefixtures("default_settings")
def test_a_switch_holds_in_postgresql_and_in_redis_when_the_command_is_back(
    night: Night, sync_hot: SyncHot
) -> None:
    assert night.said("switches").splitlines() == POSITIONS
    assert night.said("switch", "live_bidding", "off", WHY) == "live_bidding is off.\n"
    night.said("switch", "publishing", "off", WHY)
    off = Switches(live_bidding=False, publishing=False)
    assert told(sync_hot) == operator_actions.read_switches(night.settings) == off
    night.said("switch", "live_bidding", "on", WHY)
    assert told(sync_hot) == operator_actions.read_switches(night.settings) == Switches(publishing=False)
    assert night.noted("switches")[:3] == [("set", "olga", WHY)] * 3


@pytest.mark.usefixtures("default_settings")
def test_without_redis_a_switch_is_changed_and_brought_later(night: Night, sync_hot: SyncHot) -> None:
    away = at(night.settings, redis="redis://127.0.0.1:1")
    with pytest.raises(Failure, match=r"It is done, but Redis is away: .*live auctions follow"):
        operator_actions.set_switch(away, "live_bidding", False, WHY)
    assert not operator_actions.read_switches(night.settings).live_bidding
    assert told(sync_hot) is None


def test_a_switch_that_is_none_is_named(night: Night) -> None:
    failed = night.failed("switch", "everything", "off", WHY)
    assert "'everything'. Choose one of registrations, publishing, live_bidding" in failed


def test_reports_that_wait_are_shown_on_one_line_each(night: Night) -> None:
    with night.database.transaction() as session:
        auction = make_published_auction(session, title="A \x1b[2Jfake\nof \u202eold")
        for reason in (ReportReason.FRAUD, ReportReason.SPAM):
            session.add(
                Report(
                    # Older than those of other tests, which would fill the page.
                    id=UUID(int=new_id().int >> 1),
                    reporter_id=make_user(session),
                    kind=ReportKind.AUCTION,
                    subject_id=auction.id,
                    reason=reason,
                    text="",
                )
            )
    line = line_about(night, auction.id, "reports", "-n", "1")
    assert (
        f"auction {auction.id} of user {auction.seller_id}: 2 reports (fraud, spam): A  [2Jfake of  old"
        in line
    )


def test_signals_that_wait_are_shown(night: Night) -> None:
    with night.database.transaction() as session:
        auction = make_published_auction(session)
        about = {"user_id": night.user_id, "other_id": auction.seller_id}
        session.add(FraudSignal(kind=FraudSignalKind.ONE_SELLER, why={"won": 0, "auctions": 7}, **about))
        young = make_user(session, "A youngster")
        session.add(
            FraudSignal(
                kind=FraudSignalKind.NEW_ACCOUNT, user_id=young, auction_id=auction.id, why={"bids": 3}
            )
        )
    line = line_about(night, night.user_id, "signals")
    seller = f"seller A seller ({auction.seller_id})"
    assert line.endswith(f" one_seller: Somebody ({night.user_id}), {seller}: won 0, auctions 7")
    line = line_about(night, young, "signals")
    assert line.endswith(f" new_account: A youngster ({young}), auction {auction.id}: bids 3")


def test_notifications_that_were_given_up_are_shown(night: Night) -> None:
    with night.database.transaction() as session:
        session.add(
            NotificationDelivery(
                notification_id=make_notification(session, night.user_id, Event.WON),
                user_id=night.user_id,
                channel=Channel.PUSH,
                due_at=func.now(),
                attempts=10,
                dead_at=func.now(),
                last_error="HTTP 400",
            )
        )
    line = line_about(night, night.user_id, "dead-deliveries")
    assert line.endswith(f" push of won to user {night.user_id}, 10 attempts: HTTP 400")
