"""Write-back: brings what the scripts logged in Redis into PostgreSQL, every record exactly once.

The last stream id read of each shard is committed in the transaction that stores the records, so a crash anywhere
leaves either both or neither. To drain the logs, repeat until they are empty:

    positions = begin(session)          # in a transaction of its own
    logs = hot.run(read_logs(positions, n))  # no transaction is open while Redis is asked
    written = write(session, positions, logs)

A record that cannot be right becomes an alarm, stored with the rest; it never stops the records behind it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as insert_or
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from market.bidding import bid_notifications, bid_rows, settlement
from market.bidding.bid_notifications import BidInContext
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.platform import alarms
from market.platform.alarms import Alarm, AlarmReason
from market.times import from_ms, to_ms
from store.database import any_id
from store.ids import SHARDS
from store.models import Auction, AuctionStatus, Event, Extension, LogPosition, WriteBackAlarm
from store.redis.records import (
    BidRecord,
    ExtensionRecord,
    Record,
    SealRecord,
    decode_record,
)

Log = Sequence[tuple[str, bytes]]
"""What was read of a shard's log: (stream id, record), oldest first."""

LOCK = 7_210_554
"""Advisory lock of the one transaction that may write back. It goes with the transaction, also in a crash."""

_REFUSALS = (DataError, IntegrityError, psycopg.DataError, psycopg.IntegrityError, OverflowError)


@dataclass(frozen=True, slots=True)
class Written:
    """What one transaction stored. `positions` are the new ones; `sealed` is settled after the commit."""

    positions: list[str]
    records: int
    sealed: list[UUID]
    alarms: list[Alarm]


class _Entry(msgspec.Struct, frozen=True, gc=False):
    record: Record
    raw: bytes

    def alarm(self, reason: AlarmReason) -> Alarm:
        return Alarm(self.record.auction, reason, _text(self.raw))


@dataclass(slots=True)
class _Chain:
    """An auction as far as its records are known; follows them one by one."""

    seq: int
    price: int
    leader_id: UUID | None
    leader_paddle: int
    leader_maximum: int
    bids: int
    ends_at: int
    latest_end: int
    status: AuctionStatus
    sealed_at: int | None
    sealed_seq: int | None
    hammer_price: int | None
    cancelled: bool
    reserve: int
    title: str
    seller_id: UUID

    def accept(self, bid: BidRecord) -> BidInContext:
        """The bid that comes next, beside what was before it."""
        return BidInContext(bid, self.title, self.seller_id, self.leader_id, self.price < self.reserve)

    def append_bid(self, bid: BidRecord) -> None:
        self.seq, self.bids, self.price, self.ends_at = bid.seq, bid.bids, bid.price, bid.ends_at
        self.leader_id, self.leader_paddle = bid.leader, bid.leader_paddle
        self.leader_maximum = bid.leader_maximum

    def append_extension(self, extension: ExtensionRecord) -> None:
        self.seq, self.ends_at, self.latest_end = extension.seq, extension.ends_at, extension.latest_end

    def append_seal(self, seal: SealRecord) -> None:
        self.seq = self.sealed_seq = seal.seq
        self.status, self.sealed_at, self.ends_at = AuctionStatus.SEALED, seal.at, seal.ends_at
        self.hammer_price = seal.price if seal.leader else None
        self.cancelled = seal.cancelled

    def agrees(self, seal: SealRecord) -> bool:
        """Whether the seal tells the outcome that the bids have led to: nobody wins below the reserve, nor what was
        cancelled."""
        won = self.leader_id is not None and self.price >= self.reserve and not seal.cancelled
        return (seal.leader, seal.leader_paddle, seal.price, seal.bids) == (
            str(self.leader_id) if won else "",
            self.leader_paddle if won else 0,
            self.price,
            self.bids,
        )


@dataclass(slots=True)
class _Sorted:
    """A batch, sorted by what is to be done with its records. `new` and `repeated` are bids."""

    chains: dict[UUID, _Chain]
    new: list[_Entry] = field(default_factory=list)
    accepted: list[BidInContext] = field(default_factory=list)
    repeated: list[_Entry] = field(default_factory=list)
    extensions: list[_Entry] = field(default_factory=list)
    repeated_extensions: list[_Entry] = field(default_factory=list)
    sealed: list[UUID] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)


def begin(session: Session) -> list[str] | None:
    """The committed positions; None while another transaction writes back."""
    if not session.scalar(select(func.pg_try_advisory_xact_lock(LOCK))):
        return None
    return positions(session)


def positions(session: Session) -> list[str]:
    """The committed position of every shard; "0-0" when nothing of it was read yet."""
    stored = dict(session.execute(select(LogPosition.shard, LogPosition.position)).all())
    return [stored.get(shard, "0-0") for shard in range(SHARDS)]


def write(session: Session, start: list[str], logs: Sequence[Log]) -> Written | None:
    """Store what was read of every shard's log after the positions `start`, and the positions reached.

    None, and nothing is stored, when somebody else writes back or has done so since `start` was read.
    """
    if begin(session) != start:
        return None
    entries, found = _decoded(entry for log in logs for entry in log)
    sealed, accepted, more = _store(session, entries)
    found += more
    _tell(session, accepted)
    alarms.note(session, found)
    reached = {shard: log[-1][0] for shard, log in enumerate(logs) if log}
    if reached:
        moved = insert_or(LogPosition).values(
            [{"shard": shard, "position": position} for shard, position in reached.items()]
        )
        session.execute(
            moved.on_conflict_do_update(
                index_elements=[LogPosition.shard], set_={"position": moved.excluded.position}
            )
        )
    new_positions = [reached.get(shard, position) for shard, position in enumerate(start)]
    for auction_id in sealed:
        settlement.leave_to_worker(session, auction_id)
    return Written(new_positions, len(entries), sealed, found)


def _tell(session: Session, accepted: Sequence[BidInContext]) -> None:
    """Notify users of what the bids mean for them. The list has everything; but a user who was outbid many times in an
    auction since the last run is pushed the last time only, and not even that when leading again."""
    taken = {one.bid.auction: one for one in accepted if one.beaten is not None}
    heard: set[tuple[UUID, UUID | None, Event]] = {
        (one.bid.leader, auction_id, Event.OUTBID) for auction_id, one in taken.items()
    }
    new: list[NewNotification] = []
    for one in reversed(accepted):
        for item in bid_notifications.of_bid(one):
            subject = item.user_id, item.auction_id, item.event
            new.append(msgspec.structs.replace(item, leaves=False) if subject in heard else item)
            heard.add(subject)
    notifications.notify(session, new + bid_notifications.leading_again(session, list(taken.values())))


def behind(session: Session, reached: Sequence[str], ends: Sequence[str | None]) -> list[Alarm]:
    """Note, once each, the shards whose log ends (newest id ever given, None without a log) before its position."""
    found = [
        Alarm(None, AlarmReason.LOG_BEHIND, f"shard {shard}: log ends at {end}, read up to {position}")
        for shard, (position, end) in enumerate(zip(reached, ends, strict=True))
        if end is not None and _stream_id(end) < _stream_id(position)
    ]
    known = (
        set(
            session.scalars(
                select(WriteBackAlarm.record).where(WriteBackAlarm.reason == AlarmReason.LOG_BEHIND)
            )
        )
        if found
        else set()
    )
    fresh = [alarm for alarm in found if alarm.evidence not in known]
    alarms.note(session, fresh)
    return fresh


def _stream_id(text: str) -> tuple[int, int]:
    milliseconds, number = text.split("-")
    return int(milliseconds), int(number)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _decoded(entries: Iterable[tuple[str, bytes]]) -> tuple[list[_Entry], list[Alarm]]:
    decoded: list[_Entry] = []
    undecodable: list[Alarm] = []
    for stream_id, raw in entries:
        try:
            decoded.append(_Entry(decode_record(raw), raw))
        except msgspec.MsgspecError:
            undecodable.append(Alarm(None, AlarmReason.UNDECODABLE, f"{stream_id}: {_text(raw)}"))
    return decoded, undecodable


def _store(session: Session, entries: Sequence[_Entry]) -> tuple[list[UUID], list[BidInContext], list[Alarm]]:
    """Store all that PostgreSQL can take, in order. A batch it refuses is halved until the culprit stands alone."""
    if not entries:
        return [], [], []
    try:
        with session.begin_nested():
            return _store_batch(session, entries)
    except _REFUSALS:
        if len(entries) == 1:
            return [], [], [entries[0].alarm(AlarmReason.REFUSED)]
    middle = len(entries) // 2
    sealed, accepted, found = _store(session, entries[:middle])
    more_sealed, more_accepted, more_found = _store(session, entries[middle:])
    return sealed + more_sealed, accepted + more_accepted, found + more_found


def _store_batch(
    session: Session, entries: Sequence[_Entry]
) -> tuple[list[UUID], list[BidInContext], list[Alarm]]:
    batch = _sort(_lock_chains(session, {entry.record.auction for entry in entries}), entries)
    suspects = batch.repeated
    if _insert_bids(session, batch.new) < len(batch.new):
        suspects = batch.new + suspects
    if suspects:
        missing, conflicting = _compare(session, suspects)
        _insert_bids(session, missing)
        batch.alarms += [entry.alarm(AlarmReason.LATE) for entry in missing]
        batch.alarms += [entry.alarm(AlarmReason.CONFLICT) for entry in conflicting]
    _insert_extensions(session, batch.extensions)
    batch.alarms += [
        entry.alarm(AlarmReason.CONFLICT)
        for entry in batch.repeated_extensions
        if not _is_stored(session, entry.record)
    ]
    _update_auctions(session, batch.chains)
    return batch.sealed, batch.accepted, batch.alarms


def _lock_chains(session: Session, auction_ids: set[UUID]) -> dict[UUID, _Chain]:
    rows = session.execute(
        select(
            Auction.id,
            Auction.seq,
            Auction.price,
            Auction.leader_id,
            Auction.leader_paddle,
            Auction.leader_maximum,
            Auction.bids,
            Auction.ends_at,
            Auction.latest_end,
            Auction.status,
            Auction.sealed_at,
            Auction.sealed_seq,
            Auction.hammer_price,
            Auction.cancelled,
            Auction.reserve,
            Auction.title,
            Auction.seller_id,
        )
        .where(Auction.id == any_id(auction_ids), Auction.status != AuctionStatus.DRAFT)
        .order_by(Auction.id)
        .with_for_update(key_share=True)
    )
    return {
        row.id: _Chain(
            row.seq,
            row.price,
            row.leader_id,
            row.leader_paddle,
            row.leader_maximum,
            row.bids,
            to_ms(row.ends_at),
            to_ms(row.latest_end),
            row.status,
            row.sealed_at and to_ms(row.sealed_at),
            row.sealed_seq,
            row.hammer_price,
            row.cancelled,
            row.reserve or 0,
            row.title,
            row.seller_id,
        )
        for row in rows
    }


def _sort(chains: dict[UUID, _Chain], entries: Iterable[_Entry]) -> _Sorted:
    """Follow every auction's records. Bids are kept whatever is wrong with them: they were accepted."""
    batch = _Sorted(chains)
    for entry in entries:
        record = entry.record
        chain = chains.get(record.auction)
        if chain is None:
            batch.alarms.append(entry.alarm(AlarmReason.UNKNOWN_AUCTION))
        elif record.seq <= chain.seq:
            _sort_repeated(batch, chain, entry)
            continue
        elif chain.sealed_seq is not None:
            batch.alarms.append(entry.alarm(AlarmReason.AFTER_SEAL))
        else:
            if record.seq > chain.seq + 1:
                batch.alarms.append(entry.alarm(AlarmReason.GAP))
            if isinstance(record, BidRecord):
                batch.accepted.append(chain.accept(record))
                chain.append_bid(record)
            elif isinstance(record, ExtensionRecord):
                chain.append_extension(record)
                batch.extensions.append(entry)
            else:
                if not chain.agrees(record):
                    batch.alarms.append(entry.alarm(AlarmReason.CONFLICT))
                chain.append_seal(record)
                batch.sealed.append(record.auction)
        if isinstance(record, BidRecord):
            batch.new.append(entry)
    return batch


def _sort_repeated(batch: _Sorted, chain: _Chain, entry: _Entry) -> None:
    record = entry.record
    if isinstance(record, BidRecord):
        batch.repeated.append(entry)
    elif isinstance(record, ExtensionRecord):
        batch.repeated_extensions.append(entry)
    elif (record.seq, record.at) != (chain.sealed_seq, chain.sealed_at) or not chain.agrees(record):
        batch.alarms.append(entry.alarm(AlarmReason.CONFLICT))


_COLUMN_LIST = sql.SQL(", ").join(map(sql.Identifier, bid_rows.COLUMNS))


def _row(bid: Record) -> tuple[object, ...]:
    assert isinstance(bid, BidRecord)
    return bid_rows.row_of(bid)


def _cursor(session: Session) -> "psycopg.Cursor[tuple[Any, ...]]":
    """psycopg's own cursor in the session's transaction: SQLAlchemy has no COPY."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection.cursor()


def _insert_bids(session: Session, entries: Sequence[_Entry]) -> int:
    """Add the bids that are not stored under their number yet; says how many."""
    if not entries:
        return 0
    with _cursor(session) as cursor:
        cursor.execute("CREATE TEMPORARY TABLE incoming (LIKE bids)")
        into = sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT BINARY)").format(_COLUMN_LIST)
        with cursor.copy(into) as copy:
            copy.set_types(list(bid_rows.COLUMNS.values()))
            for entry in entries:
                copy.write_row(_row(entry.record))
        cursor.execute("INSERT INTO bids SELECT * FROM incoming ON CONFLICT DO NOTHING")
        inserted = cursor.rowcount
        cursor.execute("DROP TABLE incoming")
    return inserted


def _compare(session: Session, entries: Sequence[_Entry]) -> tuple[list[_Entry], list[_Entry]]:
    """Of bids that may be stored already: those that are not, and those that are stored with other content."""
    keys = [_row(entry.record)[:3] for entry in entries]
    with _cursor(session) as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT {} FROM bids JOIN unnest(%s::uuid[], %s::bigint[], %s::bigint[])"
                " AS wanted (auction_id, epoch, seq) USING (auction_id, epoch, seq)"
            ).format(_COLUMN_LIST),
            [list(part) for part in zip(*keys, strict=True)],
        )
        stored = {row[:3]: row for row in cursor}
    missing = [entry for key, entry in zip(keys, entries, strict=True) if key not in stored]
    conflicting = [
        entry
        for key, entry in zip(keys, entries, strict=True)
        if key in stored and stored[key] != _row(entry.record)
    ]
    return missing, conflicting


def _insert_extensions(session: Session, entries: Sequence[_Entry]) -> None:
    """Add new extensions; there are few."""
    session.add_all(_extension(entry.record) for entry in entries)
    session.flush()


def _is_stored(session: Session, record: Record) -> bool:
    """Whether PostgreSQL has this very extension."""
    told = _extension(record)
    stored = session.get(Extension, (told.auction_id, told.action_id))
    return stored is not None and all(
        getattr(stored, name) == getattr(told, name)
        for name in ("epoch", "seq", "at", "ends_at", "latest_end")
    )


def _extension(record: Record) -> Extension:
    assert isinstance(record, ExtensionRecord)
    return Extension(
        auction_id=record.auction,
        action_id=record.action,
        epoch=record.epoch,
        seq=record.seq,
        at=from_ms(record.at),
        ends_at=from_ms(record.ends_at),
        latest_end=from_ms(record.latest_end),
    )


def _update_auctions(session: Session, chains: dict[UUID, _Chain]) -> None:
    if not chains:
        return
    rows = [
        (
            auction_id,
            chain.seq,
            chain.price,
            chain.leader_id,
            chain.leader_paddle,
            chain.leader_maximum,
            chain.bids,
            from_ms(chain.ends_at),
            from_ms(chain.latest_end),
            chain.status,
            None if chain.sealed_at is None else from_ms(chain.sealed_at),
            chain.sealed_seq,
            chain.hammer_price,
            chain.cancelled,
        )
        for auction_id, chain in chains.items()
    ]
    with _cursor(session) as cursor:
        cursor.execute(
            "UPDATE auctions SET seq = new.seq, price = new.price, leader_id = new.leader_id,"
            " leader_paddle = new.leader_paddle, leader_maximum = new.leader_maximum, bids = new.bids,"
            " ends_at = new.ends_at, latest_end = new.latest_end, status = new.status, sealed_at = new.sealed_at,"
            " sealed_seq = new.sealed_seq, hammer_price = new.hammer_price, cancelled = new.cancelled"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[],"
            " %s::bigint[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::timestamptz[], %s::bigint[],"
            " %s::bigint[], %s::boolean[])"
            " AS new (id, seq, price, leader_id, leader_paddle, leader_maximum, bids, ends_at, latest_end, status,"
            " sealed_at, sealed_seq, hammer_price, cancelled) WHERE auctions.id = new.id",
            [list(part) for part in zip(*rows, strict=True)],
        )
