"""What must never happen, noted for a person. An auction with an alarm is not settled until somebody has looked."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from store import effects
from store.effects import LogEvent
from store.ids import new_id
from store.models import WriteBackAlarm

MAX_EVIDENCE = 4096
"""Characters kept of what was found."""


class AlarmReason(StrEnum):
    """Why an alarm was raised."""

    UNDECODABLE = "undecodable"
    """A log entry is not a record. If it was one, its auction will also show a gap."""
    REFUSED = "refused"
    """PostgreSQL cannot hold the record: a value out of range or a leader that does not exist."""
    UNKNOWN_AUCTION = "unknown_auction"
    """The record's auction does not exist or was never published."""
    CONFLICT = "conflict"
    """The record contradicts what is stored under its number."""
    GAP = "gap"
    """Numbers are missing before the record."""
    LATE = "late"
    """The record's number was passed long ago, yet it was never stored."""
    AFTER_SEAL = "after_seal"
    """The record follows the auction's seal."""
    LOG_BEHIND = "log_behind"
    """Redis has lost a part of a log that PostgreSQL has read: what comes next may contradict it."""
    BIDS_MISSING = "bids_missing"
    """A sealed auction does not have exactly the bids that its seal counts."""
    MONEY_REFUSED = "money_refused"
    """The money behind the winner's paddle is missing, or smaller than the hammer price."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm. `evidence` may hold secret maxima: it goes to PostgreSQL only, never into a log."""

    auction_id: UUID | None
    reason: AlarmReason
    evidence: str


def note(session: Session, alarms: Sequence[Alarm]) -> None:
    """Store alarms with the transaction, and sound them once it is committed."""
    if alarms:
        session.execute(
            insert(WriteBackAlarm),
            [
                {
                    "id": new_id(),
                    "auction_id": alarm.auction_id,
                    "reason": alarm.reason,
                    # PostgreSQL's text cannot hold a NUL.
                    "record": alarm.evidence.replace("\0", "\\x00")[:MAX_EVIDENCE],
                }
                for alarm in alarms
            ],
        )
    for alarm in alarms:
        fields = {"reason": alarm.reason.value, "auction": str(alarm.auction_id or "")}
        effects.after_commit(session, LogEvent("critical", "auction_alarm", fields))
