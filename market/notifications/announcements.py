"""Notifies all users once of what admins announce, in their lists and by the channels that they want."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from market.notifications.broadcast import notify_next, reachable
from market.notifications.notifications import NewNotification
from store.models import Announcement, Event, Language, User


def unfinished(session: Session) -> Sequence[UUID]:
    """The current announcements, by PostgreSQL's clock, of which not all users were notified yet."""
    return session.scalars(select(Announcement.id).where(_is_due()).order_by(Announcement.starts_at)).all()


def _is_due() -> ColumnElement[bool]:
    current = (Announcement.starts_at <= func.now()) & (Announcement.ends_at > func.now())
    return current & Announcement.told_at.is_(None)


def notify_everybody(session: Session, announcement_id: UUID) -> bool:
    """Notify the next users, each in their own language, unless the announcement was ended. Whether there are more;
    when not, this is noted."""
    announcement = session.scalar(select(Announcement).where(Announcement.id == announcement_id, _is_due()))
    if announcement is None:
        return False
    texts = {Language.KOREAN: announcement.text_ko, Language.ENGLISH: announcement.text_en}
    cause = str(announcement_id)
    more = notify_next(
        session,
        f"{Event.ANNOUNCEMENT}:{cause}",
        select(User.id, User.language).where(reachable()),
        lambda row: NewNotification(row.id, Event.ANNOUNCEMENT, cause, {"title": texts[row.language]}),
    )
    if not more:
        announcement.told_at = func.now()
        session.flush()
    return more
