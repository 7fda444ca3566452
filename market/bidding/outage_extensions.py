"""Giving back the time that an outage took: every auction that it touched ends later, once for each action.

An action is a UUID made by its caller. What fails half-way is asked again under the same one: what it has extended is
not extended twice. A neighbourhood auction is extended by `neighbourhood.extend`, a live one by the script of
`store.redis.auctions.extend_auction`; its record is the truth, and write-back follows it. A task then notifies all who
had bid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market.bidding import neighbourhood
from market.errors import GeneralRefusal, Refusal
from market.listings import auction_views
from market.notifications.broadcast import notify_next, reachable
from market.notifications.notifications import NewNotification, Value
from market.rules import Code
from market.times import clock, from_ms, to_ms
from store.effects import Decision
from store.models import Auction, AuctionKind, AuctionStatus, Bid, Event, Extension, User
from store.redis.auctions import extend_auction
from store.redis.records import ExtensionRecord, Rejection

MAX_EXTENSION_MS = 24 * 3600 * 1000

BATCH = 1_000
"""Extensions in a run."""


@dataclass(frozen=True, slots=True)
class Moved:
    """An auction whose end was moved, and by which action."""

    auction_id: UUID
    action_id: UUID


class Outage(msgspec.Struct, frozen=True):
    """From when until when (ms) what ran was touched, and by how much (ms) it is to be extended. `action` names this
    order."""

    action: UUID
    began_at: int
    ended_at: int
    by_ms: int


class Extended(msgspec.Struct, frozen=True):
    """What an action has done this time. `unreached` could not be asked: repeat the action, which extends none
    twice."""

    action: UUID
    extended: list[UUID]
    unreached: list[UUID]


def touched(session: Session, outage: Outage) -> Sequence[UUID]:
    """What ran at any time of the outage and has not ended, to be extended; the first to end comes first.

    A sealed auction is over. Refuses with `invalid_time` unless the outage ended after it began and before now, and
    `by_ms` is 1 to `MAX_EXTENSION_MS`.
    """
    if not 0 <= outage.began_at <= outage.ended_at <= to_ms(clock(session)):
        raise Refusal(
            GeneralRefusal.INVALID_TIME, "An outage must end after it began, and be over.", field="ended_at"
        )
    if not 1 <= outage.by_ms <= MAX_EXTENSION_MS:
        raise Refusal(
            GeneralRefusal.INVALID_TIME, f"An extension must be 1 to {MAX_EXTENSION_MS} ms.", field="by_ms"
        )
    return session.scalars(
        select(Auction.id)
        .where(
            Auction.status == AuctionStatus.PUBLISHED,
            Auction.ends_at >= from_ms(outage.began_at),
            Auction.opens_at <= from_ms(outage.ended_at),
            Auction.published_at <= from_ms(outage.ended_at),
        )
        .order_by(Auction.ends_at)
    ).all()


def extend(session: Session, auction_id: UUID, outage: Outage) -> bool | Decision[bool]:
    """Extend an auction that the outage has touched. False, and nothing changes, if it is over or this action has
    extended it before. Refuses with `not_found`, or with `unavailable` if Redis does not have it."""
    if auction_views.kind_of(session, auction_id) == AuctionKind.NEIGHBOURHOOD:
        return neighbourhood.extend(session, auction_id, outage.action, outage.by_ms)
    return Decision(
        extend_auction(auction_id, outage.action, outage.by_ms), lambda _, answer: _is_extended(answer)
    )


def _is_extended(answer: ExtensionRecord | Rejection) -> bool:
    if isinstance(answer, Rejection) and answer.code not in ("already_extended", Code.CLOSED):
        raise Refusal(GeneralRefusal.UNAVAILABLE)
    return isinstance(answer, ExtensionRecord)


def report(outage: Outage, outcomes: Mapping[UUID, bool | None]) -> Extended:
    """What `extend` has come to for each auction; None means that it could not be asked."""
    return Extended(
        outage.action,
        extended=[auction_id for auction_id, extended in outcomes.items() if extended],
        unreached=[auction_id for auction_id, extended in outcomes.items() if extended is None],
    )


def unfinished(session: Session) -> list[Moved]:
    """The extensions of which not all bidders were notified yet."""
    waiting = select(Extension.auction_id, Extension.action_id).where(Extension.told_at.is_(None))
    return [Moved(*row) for row in session.execute(waiting.order_by(Extension.at).limit(BATCH))]


def notify_bidders(session: Session, moved: Moved) -> bool:
    """Notify the next of those who had bid before the extension. Whether there are more; when not, this is noted."""
    auction_id = moved.auction_id
    extension = session.get_one(Extension, (auction_id, moved.action_id))
    had_bid = select(Bid.bidder_id).where(Bid.auction_id == auction_id, Bid.seq < extension.seq)
    data: dict[str, Value] = {
        "title": session.scalars(select(Auction.title).where(Auction.id == auction_id)).one(),
        "epoch": extension.epoch,
        "seq": extension.seq,
        "ends_at": to_ms(extension.ends_at),
        "outage": True,
    }
    cause = f"{auction_id}:{moved.action_id}"
    more = notify_next(
        session,
        f"{Event.EXTENDED}:{cause}",
        select(User.id).where(User.id.in_(had_bid), reachable()),
        lambda row: NewNotification(row.id, Event.EXTENDED, cause, data, auction_id),
    )
    if not more:
        extension.told_at = func.now()
        session.flush()
    return more
