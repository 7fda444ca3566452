"""Write-back, one transaction at a time: what is stored, what is only repeated, what is an alarm."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from market.bidding import write_back
from market.bidding.write_back import Log, Written
from market.platform.alarms import AlarmReason
from market.times import from_ms, to_ms
from store.database import SyncDatabase
from store.ids import SHARDS, new_id, shard_of
from store.models import Auction, AuctionStatus, Bid, WriteBackAlarm
from store.redis.records import BidRecord, SealRecord
from tests.support.factories import a_draft, make_published_auction, make_user

AT = 1_760_000_000_123
"""A time whose milliseconds a float of seconds would lose."""

ALICE, BORA = new_id(), new_id()


@pytest.fixture
def auction_id(db_session: Session) -> UUID:
    return make_published_auction(db_session).id


@pytest.fixture(autouse=True)
def _bidders(db_session: Session) -> None:
    """Leaders are users, by a foreign key."""
    global ALICE, BORA
    ALICE, BORA = make_user(db_session), make_user(db_session)


def a_bid(auction_id: UUID, seq: int, **changes: Any) -> BidRecord:
    fields: dict[str, Any] = {
        "auction": auction_id,
        "epoch": 1,
        "seq": seq,
        "at": AT + seq,
        "bidder": ALICE,
        "paddle": 1,
        "ref": f"ref-{seq}",
        "maximum": 1_000 + 100 * seq,
        "price": 1_000 + 100 * seq,
        "leader": ALICE,
        "leader_paddle": 1,
        "leader_maximum": 1_000 + 100 * seq,
        "outbid": "",
        "next_minimum": 1_100 + 100 * seq,
        "ends_at": a_draft().ends_at,
        "extended": False,
        "bids": seq,
        "bought": False,
        "reserve_met": True,
        "buy_now": 0,
    }
    return BidRecord(**fields | changes)


def a_seal(last: BidRecord, **changes: Any) -> SealRecord:
    fields: dict[str, Any] = {
        "auction": last.auction,
        "epoch": last.epoch,
        "seq": last.seq + 1,
        "at": last.at + 1,
        "ends_at": last.ends_at,
        "price": last.price,
        "leader": str(last.leader),
        "leader_paddle": last.leader_paddle,
        "bids": last.bids,
    }
    return SealRecord(**fields | changes)


def logged(*records: BidRecord | SealRecord | bytes, shard: int | None = None) -> list[Log]:
    """The logs of all shards, with the records where they belong."""
    logs: list[list[tuple[str, bytes]]] = [[] for _ in range(SHARDS)]
    for number, record in enumerate(records):
        raw = record if isinstance(record, bytes) else msgspec.json.encode(record)
        place = shard if isinstance(record, bytes) else shard_of(record.auction)
        logs[place or 0].append((f"1-{number}", raw))
    return list(logs)


def write(session: Session, *records: BidRecord | SealRecord | bytes) -> Written:
    start = write_back.begin(session)
    assert start is not None
    written = write_back.write(session, start, logged(*records))
    assert written is not None
    session.expire_all()
    return written


def reasons(written: Written) -> list[AlarmReason]:
    return [alarm.reason for alarm in written.alarms]


def numbers(session: Session, auction_id: UUID) -> list[int]:
    return list(session.scalars(select(Bid.seq).where(Bid.auction_id == auction_id).order_by(Bid.seq)))


def test_a_bid_is_stored_as_it_was_logged(db_session: Session, auction_id: UUID) -> None:
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid)

    assert (written.records, written.sealed, written.alarms) == (1, [], [])
    stored = db_session.scalars(select(Bid).where(Bid.auction_id == auction_id)).one()
    assert (stored.epoch, stored.seq, stored.ref, stored.maximum) == (1, 1, "ref-1", 1_100)
    assert (stored.bidder_id, stored.leader_id, stored.next_minimum, stored.bids) == (ALICE, ALICE, 1_200, 1)
    assert (to_ms(stored.at), to_ms(stored.ends_at)) == (bid.at, bid.ends_at)
    assert stored.at == from_ms(bid.at)


def test_the_auction_shows_the_last_bid(db_session: Session, auction_id: UUID) -> None:
    end = a_draft().ends_at + 5

    write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 2, leader=BORA, leader_paddle=2, ends_at=end))

    auction = db_session.get_one(Auction, auction_id)
    assert (auction.seq, auction.bids, auction.price, auction.leader_maximum) == (2, 2, 1_200, 1_200)
    assert (auction.leader_id, auction.leader_paddle, to_ms(auction.ends_at)) == (BORA, 2, end)
    assert auction.status == AuctionStatus.PUBLISHED


def test_a_seal_seals_the_auction(db_session: Session, auction_id: UUID) -> None:
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid, a_seal(bid))

    assert (written.sealed, written.alarms) == ([auction_id], [])
    auction = db_session.get_one(Auction, auction_id)
    assert auction.status == AuctionStatus.SEALED
    assert (auction.seq, auction.sealed_seq, auction.hammer_price, auction.bids) == (2, 2, 1_100, 1)
    assert auction.sealed_at == from_ms(bid.at + 1)


def test_a_seal_without_bids_has_no_hammer_price(db_session: Session, auction_id: UUID) -> None:
    end = a_draft().ends_at
    seal = SealRecord(auction_id, 1, 1, AT, end, 0, "", 0, 0)

    written = write(db_session, seal)

    auction = db_session.get_one(Auction, auction_id)
    assert (written.alarms, auction.sealed_seq, auction.hammer_price, auction.leader_id) == (
        [],
        1,
        None,
        None,
    )


def test_a_purchase_is_stored_with_the_end_that_it_has_made(db_session: Session, auction_id: UUID) -> None:
    opening = to_ms(db_session.get_one(Auction, auction_id).opens_at)
    bought = a_bid(auction_id, 1, bought=True, at=opening, ends_at=opening)

    written = write(db_session, bought, a_seal(bought, at=opening))

    assert (written.sealed, written.alarms) == ([auction_id], [])
    assert db_session.scalars(select(Bid.bought).where(Bid.auction_id == auction_id)).all() == [True]
    auction = db_session.get_one(Auction, auction_id)
    assert (to_ms(auction.ends_at), auction.hammer_price) == (opening, 1_100)


def test_a_seal_below_the_reserve_has_no_hammer_price(db_session: Session) -> None:
    auction_id = make_published_auction(db_session, reserve=1_101).id
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid, a_seal(bid, leader="", leader_paddle=0))

    auction = db_session.get_one(Auction, auction_id)
    assert (written.alarms, auction.status, auction.hammer_price) == ([], AuctionStatus.SEALED, None)
    assert (auction.price, auction.leader_id) == (1_100, ALICE)


@pytest.mark.parametrize(("reserve", "change"), [(1_101, {}), (1_100, {"leader": "", "leader_paddle": 0})])
def test_a_seal_that_is_wrong_about_the_reserve_is_an_alarm(
    db_session: Session, reserve: int, change: dict[str, Any]
) -> None:
    auction_id = make_published_auction(db_session, reserve=reserve).id
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid, a_seal(bid, **change))

    assert reasons(written) == [AlarmReason.CONFLICT]


def test_what_is_repeated_changes_nothing(db_session: Session, auction_id: UUID) -> None:
    first, second = a_bid(auction_id, 1), a_bid(auction_id, 2)
    write(db_session, first, second, a_seal(second))

    again = write(db_session, first, second, a_seal(second))

    assert (again.alarms, again.sealed, numbers(db_session, auction_id)) == ([], [], [1, 2])
    assert db_session.get_one(Auction, auction_id).seq == 3


def test_a_repeat_within_one_batch_changes_nothing(db_session: Session, auction_id: UUID) -> None:
    written = write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 1), a_bid(auction_id, 2))

    assert (written.alarms, numbers(db_session, auction_id)) == ([], [1, 2])


@pytest.mark.parametrize(
    "change",
    [
        {"maximum": 9_999},
        {"price": 9_999},
        {"at": AT},
        {"ref": "other"},
        {"bidder": new_id()},
        {"extended": True},
        {"bought": True},
        {"next_minimum": 1},
        {"bids": 7},
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_other_content_under_a_stored_number_is_an_alarm(
    db_session: Session, auction_id: UUID, change: dict[str, Any], together: bool
) -> None:
    right, wrong = a_bid(auction_id, 1), a_bid(auction_id, 1, **change)

    if together:
        written = write(db_session, right, wrong, a_bid(auction_id, 2))
    else:
        write(db_session, right)
        written = write(db_session, wrong, a_bid(auction_id, 2))

    assert reasons(written) == [AlarmReason.CONFLICT]
    assert numbers(db_session, auction_id) == [1, 2]
    stored = db_session.scalars(select(Bid).where(Bid.auction_id == auction_id, Bid.seq == 1)).one()
    assert (stored.maximum, stored.ref, to_ms(stored.at)) == (right.maximum, right.ref, right.at)


def test_an_alarm_is_kept_with_what_was_found(db_session: Session, auction_id: UUID) -> None:
    write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 1, ref="other"))

    alarm = db_session.scalars(select(WriteBackAlarm).where(WriteBackAlarm.auction_id == auction_id)).one()
    assert alarm.reason == "conflict"
    assert '"ref":"other"' in alarm.record


def test_a_gap_is_an_alarm_and_the_records_behind_it_are_kept(db_session: Session, auction_id: UUID) -> None:
    written = write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 3), a_bid(auction_id, 4))

    assert reasons(written) == [AlarmReason.GAP]
    assert numbers(db_session, auction_id) == [1, 3, 4]
    assert db_session.get_one(Auction, auction_id).seq == 4


def test_a_number_that_was_passed_but_never_stored_is_an_alarm(db_session: Session, auction_id: UUID) -> None:
    write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 2))

    written = write(db_session, a_bid(auction_id, 2, epoch=9))

    assert reasons(written) == [AlarmReason.LATE]
    assert numbers(db_session, auction_id) == [1, 2, 2]
    assert db_session.get_one(Auction, auction_id).seq == 2


def test_a_bid_after_the_seal_is_an_alarm(db_session: Session, auction_id: UUID) -> None:
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid, a_seal(bid), a_bid(auction_id, 3))

    assert reasons(written) == [AlarmReason.AFTER_SEAL]
    auction = db_session.get_one(Auction, auction_id)
    assert (auction.seq, auction.bids, auction.status) == (2, 1, AuctionStatus.SEALED)


@pytest.mark.parametrize("change", [{"price": 5}, {"leader": ""}, {"leader_paddle": 7}, {"bids": 2}])
def test_a_seal_that_contradicts_the_bids_is_an_alarm(
    db_session: Session, auction_id: UUID, change: dict[str, Any]
) -> None:
    bid = a_bid(auction_id, 1)

    written = write(db_session, bid, a_seal(bid, **change))

    assert reasons(written) == [AlarmReason.CONFLICT]


def test_a_second_seal_of_another_time_is_an_alarm(db_session: Session, auction_id: UUID) -> None:
    bid = a_bid(auction_id, 1)
    write(db_session, bid, a_seal(bid))

    written = write(db_session, a_seal(bid, at=AT + 99))

    assert reasons(written) == [AlarmReason.CONFLICT]
    assert db_session.get_one(Auction, auction_id).sealed_at == from_ms(bid.at + 1)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\xfe\x00", b"{}", b'{"type":"bid"}', b"[1]", b'{"type":"seal","seq":"x"}']
)
def test_garbage_is_an_alarm_and_the_rest_goes_on(
    db_session: Session, auction_id: UUID, garbage: bytes
) -> None:
    written = write(db_session, garbage, a_bid(auction_id, 1), garbage, a_bid(auction_id, 2))

    assert reasons(written) == [AlarmReason.UNDECODABLE] * 2
    assert numbers(db_session, auction_id) == [1, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"maximum": 2**63},
        {"maximum": 10**30},
        {"at": 10**17},
        {"ends_at": 10**14},
        {"ref": "nul\0"},
        {"leader": new_id()},
        {"ends_at": 0},
    ],
)
def test_a_record_that_postgresql_refuses_is_an_alarm_and_the_rest_goes_on(
    db_session: Session, auction_id: UUID, change: dict[str, Any]
) -> None:
    other = make_published_auction(db_session).id
    fine = [a_bid(other, seq) for seq in range(1, 20)]

    written = write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 2, **change), *fine)

    assert reasons(written)[0] in (AlarmReason.REFUSED, AlarmReason.UNDECODABLE)
    assert numbers(db_session, auction_id) == [1]
    assert numbers(db_session, other) == list(range(1, 20))


def test_a_record_of_an_unknown_auction_is_an_alarm(db_session: Session) -> None:
    assert reasons(write(db_session, a_bid(new_id(), 1))) == [AlarmReason.UNKNOWN_AUCTION]


def test_positions_move_with_the_records(db_session: Session, auction_id: UUID) -> None:
    shard = shard_of(auction_id)

    written = write(db_session, a_bid(auction_id, 1), a_bid(auction_id, 2))

    assert written.positions[shard] == "1-1"
    assert write_back.positions(db_session) == written.positions


def test_records_are_not_stored_when_the_positions_have_moved(db_session: Session, auction_id: UUID) -> None:
    start = write_back.begin(db_session)
    assert start is not None
    write(db_session, a_bid(auction_id, 1))

    assert write_back.write(db_session, start, logged(a_bid(auction_id, 1, ref="other"))) is None
    assert numbers(db_session, auction_id) == [1]


def test_only_one_transaction_writes_back_at_a_time(sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as first:
        assert write_back.begin(first) is not None
        with sync_database.transaction() as second:
            assert write_back.begin(second) is None
            assert write_back.write(second, write_back.positions(second), logged()) is None
    with sync_database.transaction() as third:
        assert write_back.begin(third) is not None


def test_nothing_is_left_of_the_temporary_table(db_session: Session, auction_id: UUID) -> None:
    write(db_session, a_bid(auction_id, 1))

    assert db_session.scalar(text("SELECT to_regclass('incoming')")) is None


def test_a_log_that_ends_before_its_position_is_an_alarm_once(db_session: Session) -> None:
    reached = ["0-0", "5-1", "5-10", "5-9"] + ["0-0"] * (SHARDS - 4)
    ends = [None, "5-1", "5-9", "5-10"] + [None] * (SHARDS - 4)

    found = write_back.behind(db_session, reached, ends)
    again = write_back.behind(db_session, reached, ends)

    assert [alarm.evidence for alarm in found] == ["shard 2: log ends at 5-9, read up to 5-10"]
    assert again == []
    noted = db_session.scalars(
        select(WriteBackAlarm.record).where(WriteBackAlarm.reason == "log_behind")
    ).all()
    assert noted.count(found[0].evidence) == 1
