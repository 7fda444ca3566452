"""Announcements to all users."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.admin import AdminHandler, Reasoned
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, Reason
from market.pages import Page
from market.platform import settings
from market.platform.settings import AnnouncementView
from store.models import Role

Text = Annotated[str, Meta(max_length=500, pattern=ONE_LINE)]
Time = Annotated[int, Meta(ge=0, le=10**13)]


class NewAnnouncement(Body, frozen=True, kw_only=True):
    """An announcement to all users, in Korean and English, and from when until when it shows (ms)."""

    text_ko: Text
    text_en: Text
    starts_at: Time
    ends_at: Time
    reason: Reason


class AnnouncementsHandler(AdminHandler):
    """GET: all announcements, newest first. POST: make one."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.ADMIN)
    async def get(self, query: PageQuery) -> Page[AnnouncementView]:
        return await self.use(settings.announcements, query.cursor, query.limit)

    @operation(GeneralRefusal.INVALID_TIME, statuses=(HTTPStatus.CREATED,), role=Role.ADMIN)
    async def post(self, body: NewAnnouncement) -> AnnouncementView:
        return await self.use(
            settings.create_announcement,
            self.actor,
            body.text_ko,
            body.text_en,
            body.starts_at,
            body.ends_at,
            body.reason,
        )


class AnnouncementEndHandler(AdminHandler):
    """POST: end an announcement."""

    @operation(GeneralRefusal.WRONG_STATE, role=Role.ADMIN)
    async def post(self, announcement_id: UUID, body: Reasoned) -> AnnouncementView:
        return await self.use(settings.end_announcement, self.actor, announcement_id, body.reason)


routes = [
    (r"/api/v1/admin/announcements", AnnouncementsHandler),
    (rf"/api/v1/admin/announcements/{UUID_PATTERN}/end", AnnouncementEndHandler),
]
