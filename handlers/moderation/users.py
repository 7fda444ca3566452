"""Users: looking at them and acting on them."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.admin import AdminHandler, Reasoned
from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal
from market.fields import ONE_LINE, Reason
from market.moderation import sanctions, users
from market.moderation.users import UserCard, UserRecord
from market.pages import Page
from market.rules import MAX_AMOUNT
from store.models import Role

DONE = (HTTPStatus.NO_CONTENT,)


class UsersQuery(PageQuery, frozen=True, kw_only=True):
    """Which users: an id, or the beginning of an e-mail address or name."""

    query: Annotated[str, Meta(max_length=254, pattern=ONE_LINE)] | None = None


class Suspension(Body, frozen=True, kw_only=True):
    """Until when (ms), or null to end it now."""

    until: Annotated[int, Meta(ge=1, le=MAX_AMOUNT)] | None
    reason: Reason


class NewRole(Body, frozen=True, kw_only=True):
    """The user's new role."""

    role: Role
    reason: Reason


class AdminUsersHandler(AdminHandler):
    """GET: users, the last registered first."""

    @operation(GeneralRefusal.INVALID_CURSOR, role=Role.MODERATOR)
    async def get(self, query: UsersQuery) -> Page[UserCard]:
        return await self.use(users.page, query.query, query.cursor, query.limit)


class AdminUserHandler(AdminHandler):
    """GET: all that may be known of one user."""

    @operation(role=Role.MODERATOR)
    async def get(self, user_id: UUID) -> UserRecord:
        return await self.use(users.get, user_id)


class WarnHandler(AdminHandler):
    """POST: warn a user."""

    @operation(statuses=DONE, role=Role.MODERATOR)
    async def post(self, user_id: UUID, body: Reasoned) -> None:
        await self.use(sanctions.warn, self.actor, user_id, body.reason)


class SuspendHandler(AdminHandler):
    """POST: suspend a user, who can browse meanwhile, but not bid or sell."""

    @operation(GeneralRefusal.INVALID_TIME, statuses=DONE, role=Role.MODERATOR)
    async def post(self, user_id: UUID, body: Suspension) -> None:
        await self.use(sanctions.suspend, self.actor, user_id, body.until, body.reason)


class BanHandler(AdminHandler):
    """POST: ban a user: all sessions and sockets end, and log-ins are refused."""

    @operation(statuses=DONE, role=Role.MODERATOR)
    async def post(self, user_id: UUID, body: Reasoned) -> None:
        await self.use(sanctions.ban, self.actor, user_id, body.reason)


class UnbanHandler(AdminHandler):
    """POST: let a banned user log in again."""

    @operation(statuses=DONE, role=Role.MODERATOR)
    async def post(self, user_id: UUID, body: Reasoned) -> None:
        await self.use(sanctions.lift_ban, self.actor, user_id, body.reason)


class RevokeSessionsHandler(AdminHandler):
    """POST: end all sessions and sockets of a user, who may log in anew."""

    @operation(statuses=DONE, role=Role.MODERATOR)
    async def post(self, user_id: UUID, body: Reasoned) -> None:
        await self.use(sanctions.revoke_sessions, self.actor, user_id, body.reason)


class RoleHandler(AdminHandler):
    """PUT: change a user's role."""

    @operation(AccountRefusal.LAST_ADMIN, statuses=DONE, role=Role.ADMIN)
    async def put(self, user_id: UUID, body: NewRole) -> None:
        await self.use(sanctions.set_role, self.actor, user_id, body.role, body.reason)


_USER = rf"/api/v1/admin/users/{UUID_PATTERN}"

routes = [
    (r"/api/v1/admin/users", AdminUsersHandler),
    (_USER, AdminUserHandler),
    (rf"{_USER}/warn", WarnHandler),
    (rf"{_USER}/suspend", SuspendHandler),
    (rf"{_USER}/ban", BanHandler),
    (rf"{_USER}/unban", UnbanHandler),
    (rf"{_USER}/revoke-sessions", RevokeSessionsHandler),
    (rf"{_USER}/role", RoleHandler),
]
