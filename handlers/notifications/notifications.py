"""A user's notifications, and the preferences about them."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.errors import GeneralRefusal
from market.fields import ONE_LINE
from market.notifications import notifications, preferences
from market.notifications.notifications import NotificationView, Unread
from market.notifications.preferences import Preferences, Wish
from market.notifications.refusals import NotificationRefusal
from market.pages import Page
from store.models import Digest

MinuteOfDay = Annotated[int, Meta(ge=0, le=1439)]


class ListQuery(PageQuery, frozen=True, kw_only=True):
    """Which page, of all or only of those not read yet."""

    unread: bool = False


class ReadUpTo(Body, frozen=True, kw_only=True):
    """The newest notification that you have read."""

    up_to: UUID


class NewPreferences(Body, frozen=True, kw_only=True):
    """All preferences. Events that `channels` does not name are as by default."""

    quiet_from: MinuteOfDay | None
    quiet_until: MinuteOfDay | None
    time_zone: Annotated[str, Meta(max_length=64, pattern=ONE_LINE)]
    digest: Digest
    channels: Annotated[list[Wish], Meta(max_length=100)]


class NotificationsHandler(ApiHandler):
    """GET: your notifications, newest first."""

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, query: ListQuery) -> Page[NotificationView]:
        return await self.use(
            notifications.page, self.principal.user_id, query.unread, query.cursor, query.limit
        )


class UnreadHandler(ApiHandler):
    """GET: how many of your notifications are unread."""

    @operation()
    async def get(self) -> Unread:
        return await self.use(notifications.count_unread, self.principal.user_id)


class ReadNotificationHandler(ApiHandler):
    """POST: mark one notification as read."""

    @operation()
    async def post(self, notification_id: UUID) -> Unread:
        return await self.use(notifications.read, self.principal.user_id, notification_id)


class ReadNotificationsHandler(ApiHandler):
    """POST: mark all notifications up to one as read."""

    @operation()
    async def post(self, body: ReadUpTo) -> Unread:
        return await self.use(notifications.read_all, self.principal.user_id, body.up_to)


class PreferencesHandler(ApiHandler):
    """GET: how you want to be notified. PUT: change it."""

    @operation()
    async def get(self) -> Preferences:
        return await self.use(preferences.get, self.principal.user_id)

    @operation(NotificationRefusal.INVALID_PREFERENCES, edits=True)
    async def put(self, body: NewPreferences, version: int) -> Preferences:
        wanted = Preferences(
            quiet_from=body.quiet_from,
            quiet_until=body.quiet_until,
            time_zone=body.time_zone,
            digest=body.digest,
            channels=body.channels,
            version=version,
        )
        return await self.use(preferences.put, self.principal.user_id, wanted)


routes = [
    (r"/api/v1/notifications", NotificationsHandler),
    (r"/api/v1/notifications/unread", UnreadHandler),
    (rf"/api/v1/notifications/{UUID_PATTERN}/read", ReadNotificationHandler),
    (r"/api/v1/notifications/read", ReadNotificationsHandler),
    (r"/api/v1/notifications/preferences", PreferencesHandler),
]
