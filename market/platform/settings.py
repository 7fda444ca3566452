"""What admins set while the platform runs: fees, tables of increments, switches, announcements.

A setting stands in PostgreSQL, where each use-case reads it in its own transaction: once it is committed it holds for
everything that begins, in every process. `store.redis.switches` is how the live socket learns of the switches.
"""

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market import audit, increments
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.fees import SellerFee
from market.pages import Page, list_page
from market.platform.refusals import PlatformRefusal
from market.times import clock, from_ms, to_ms
from store import effects
from store.effects import PutSwitches
from store.models import Announcement, PlatformSetting
from store.redis.switches import Switches

T = TypeVar("T", bound=msgspec.Struct)

Switch = Literal["registrations", "publishing", "live_bidding", "neighbourhood_bidding", "payments"]


class IncrementTable(msgspec.Struct, frozen=True):
    """Increments that a draft may name instead of its own: (from price, increment), the first from 0, in minor
    units."""

    name: str
    increments: list[tuple[int, int]]


class IncrementTables(msgspec.Struct, frozen=True):
    """The tables offered to sellers, in this order: the first is the default. A draft may also have increments of its
    own."""

    items: list[IncrementTable] = msgspec.field(
        default_factory=lambda: [IncrementTable("standard", [(0, 100), (10_000, 500), (100_000, 1_000)])]
    )


NAMES: dict[type[msgspec.Struct], str] = {
    SellerFee: "seller_fee",
    IncrementTables: "increment_tables",
    Switches: "switches",
}
"""Every setting: the type of its value, whose defaults hold until it is set, and its name."""


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """A setting as it is. `version` 0 is what holds before anybody has set it."""

    version: int
    value: T


class AnnouncementView(msgspec.Struct, frozen=True):
    """An announcement to all users from `starts_at` until `ends_at` (ms), in Korean and English."""

    id: UUID
    text_ko: str
    text_en: str
    starts_at: int
    ends_at: int


class Platform(msgspec.Struct, frozen=True):
    """The public settings, and the current announcements."""

    seller_fee: SellerFee
    switches: Switches
    increment_tables: list[IncrementTable]
    announcements: list[AnnouncementView]


def get(session: Session, kind: type[T]) -> Setting[T]:
    """The setting of this type."""
    row = session.execute(
        select(PlatformSetting.version, PlatformSetting.value).where(PlatformSetting.name == NAMES[kind])
    ).one_or_none()
    if row is None:
        return Setting(0, kind())
    return Setting(row.version, msgspec.convert(row.value, kind))


def put(session: Session, actor: Actor, value: T, version: int, reason: str) -> Setting[T]:
    """Replace this `version` of a setting. Refuses with `precondition_failed` if there is another one."""
    before = get(session, type(value))
    if before.version != version:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    built = msgspec.to_builtins(value)
    name = NAMES[type(value)]
    if version == 0:
        first = insert(PlatformSetting).values(name=name, value=built, version=1).on_conflict_do_nothing()
        changed = session.scalar(first.returning(PlatformSetting.version))
    else:
        changed = session.scalar(
            update(PlatformSetting)
            .where(PlatformSetting.name == name, PlatformSetting.version == version)
            .values(value=built, version=version + 1)
            .returning(PlatformSetting.version),
            execution_options={"synchronize_session": False},
        )
    if changed is None:
        raise Refusal(GeneralRefusal.PRECONDITION_FAILED)
    audit.record(
        session, actor, "set", Subject("setting", name), reason, msgspec.to_builtins(before.value), built
    )
    if isinstance(value, Switches):
        effects.after_commit(session, PutSwitches(changed, value))
    return Setting(changed, value)


def bring_switches(session: Session) -> None:
    """Write the switches to Redis, in case it was away at their change or has lost them."""
    setting = get(session, Switches)
    effects.after_commit(session, PutSwitches(setting.version, setting.value))


def put_increment_tables(
    session: Session, actor: Actor, tables: IncrementTables, version: int, reason: str
) -> Setting[IncrementTables]:
    """`put`, of tables that auctions can have, at least one. What is published already keeps its increments. Refuses
    with `invalid_increments`, too."""
    names = [table.name for table in tables.items]
    if not names:
        raise Refusal(
            PlatformRefusal.INVALID_INCREMENTS, "One table must be left, for drafts that name none."
        )
    if len(set(names)) < len(names):
        raise Refusal(PlatformRefusal.INVALID_INCREMENTS, "Two tables have the same name.")
    for table in tables.items:
        if not increments.is_table(table.increments):
            raise Refusal(PlatformRefusal.INVALID_INCREMENTS, f"No auction can use the table {table.name}.")
    return put(session, actor, tables, version, reason)


def increment_table(session: Session, name: str | None) -> IncrementTable | None:
    """The table of this name, or the first one; None if there is none (any more)."""
    tables = get(session, IncrementTables).value.items
    return next((table for table in tables if name in (None, table.name)), None)


def require(session: Session, switch: Switch) -> None:
    """Refuses with `switched_off` unless this is switched on."""
    if not getattr(get(session, Switches).value, switch):
        raise Refusal(PlatformRefusal.SWITCHED_OFF, switch=switch)


def view(session: Session) -> Platform:
    """What everybody may know."""
    current = (
        select(Announcement)
        .where(Announcement.starts_at <= func.now(), Announcement.ends_at > func.now())
        .order_by(Announcement.starts_at, Announcement.id)
    )
    return Platform(
        seller_fee=get(session, SellerFee).value,
        switches=get(session, Switches).value,
        increment_tables=get(session, IncrementTables).value.items,
        announcements=[_announcement(found) for found in session.scalars(current)],
    )


def create_announcement(
    session: Session, actor: Actor, text_ko: str, text_en: str, starts_at: int, ends_at: int, reason: str
) -> AnnouncementView:
    """Announce something to all users from `starts_at` until `ends_at` (ms). Refuses with `invalid_time` if that is
    never."""
    if ends_at <= max(starts_at, to_ms(clock(session))):
        raise Refusal(GeneralRefusal.INVALID_TIME, "An announcement must end after it starts, and after now.")
    new = Announcement(
        text_ko=text_ko, text_en=text_en, starts_at=from_ms(starts_at), ends_at=from_ms(ends_at)
    )
    session.add(new)
    session.flush()
    view = _announcement(new)
    audit.record(session, actor, "announce", Subject("announcement", new.id), reason, None, _builtins(view))
    return view


def end_announcement(session: Session, actor: Actor, announcement_id: UUID, reason: str) -> AnnouncementView:
    """End an announcement; one that has not started never does. Refuses with `not_found`, or `wrong_state` when it is
    over."""
    found = session.get(Announcement, announcement_id, populate_existing=True, with_for_update=True)
    if found is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    now: datetime = session.scalars(select(func.date_trunc("milliseconds", func.now()))).one()
    if found.ends_at <= now:
        raise Refusal(GeneralRefusal.WRONG_STATE, "The announcement is already over.")
    before = {"ends_at": to_ms(found.ends_at)}
    found.ends_at = now
    found.starts_at = min(found.starts_at, now)
    session.flush()
    subject = Subject("announcement", announcement_id)
    audit.record(session, actor, "end_announcement", subject, reason, before, {"ends_at": to_ms(now)})
    return _announcement(found)


def announcements(session: Session, cursor: str | None, limit: int) -> Page[AnnouncementView]:
    """All announcements, over or to come, the last made first. Refuses with `invalid_cursor`."""
    return list_page(session, select(Announcement), _announcement, Announcement.id, cursor, limit)


def _announcement(found: Announcement) -> AnnouncementView:
    return AnnouncementView(
        found.id, found.text_ko, found.text_en, to_ms(found.starts_at), to_ms(found.ends_at)
    )


def _builtins(view: msgspec.Struct) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(view)
    return built
