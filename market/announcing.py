"""Telling everybody what admins announce, in their lists and by the channels that they want, once.

They are many, so each transaction tells some of them. After a crash it begins anew: who was told is not told again.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market import notifications
from market.notifications import News
from store.models import Announcement, Event, Language, User

BATCH = 1_000
"""Users in a transaction."""


def due(session: Session) -> Sequence[UUID]:
    """The announcements of this moment, by PostgreSQL's clock, of which not everybody was told."""
    current = (Announcement.starts_at <= func.now()) & (Announcement.ends_at > func.now())
    return session.scalars(
        select(Announcement.id)
        .where(current, Announcement.told_at.is_(None))
        .order_by(Announcement.starts_at)
    ).all()


def announce(session: Session, announcement_id: UUID, after: UUID | None) -> UUID | None:
    """Tell the next users, in the order of their ids behind `after`, each in the own language. The last of them; None,
    and the announcement is noted as told, when there are no more."""
    announcement = session.get_one(Announcement, announcement_id)
    query = select(User.id, User.language).where(User.deleted_at.is_(None)).order_by(User.id).limit(BATCH)
    users = [
        (user_id, Language(language))
        for user_id, language in session.execute(query if after is None else query.where(User.id > after))
    ]
    texts = {Language.KOREAN: announcement.text_ko, Language.ENGLISH: announcement.text_en}
    notifications.notify(
        session,
        [
            News(user_id, Event.ANNOUNCEMENT, str(announcement_id), {"title": texts[language]})
            for user_id, language in users
        ],
    )
    if len(users) == BATCH:
        return users[-1][0]
    announcement.told_at = func.now()
    session.flush()
    return None
