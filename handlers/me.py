"""The own account: profile, sessions, password."""

from http import HTTPStatus
from uuid import UUID

from handlers import logins
from handlers.base import UUID_PATTERN, ApiHandler
from handlers.operations import operation
from handlers.parsing import Body, NewPassword, Password
from market import accounts, sessions
from market.accounts import Profile
from market.errors import Refusal
from market.sessions import SessionList


class PasswordChange(Body, frozen=True, kw_only=True):
    """The password until now, and from now on."""

    old_password: Password
    new_password: NewPassword


class MeHandler(ApiHandler):
    """GET: the own profile."""

    @operation("not_found")
    async def get(self) -> Profile:
        return await self.use(accounts.profile, self.principal.user_id)


class SessionsHandler(ApiHandler):
    """GET: where the user is logged in."""

    @operation()
    async def get(self) -> SessionList:
        return await self.use(sessions.page, self.principal)


class SessionHandler(ApiHandler):
    """DELETE: end one of the own sessions."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, session_id: UUID) -> None:
        revoked = await self.use(sessions.revoke, self.principal.user_id, session_id)
        await logins.tell_revoked(self, revoked)


class PasswordHandler(ApiHandler):
    """POST: change the password. A stolen access token does not suffice; all other sessions end."""

    @operation("invalid_credentials", "too_many_attempts", "busy", statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self, body: PasswordChange) -> None:
        user_id = self.principal.user_id
        old_hash = await self.use(accounts.password_hash, user_id)
        if not await logins.check_password(self, str(user_id), old_hash, body.old_password):
            raise Refusal("invalid_credentials", "The old password is wrong.")
        new_hash = await self.services.passwords.hash(body.new_password)
        async with self.services.database.transaction() as session:
            await session.run_sync(accounts.change_password, user_id, old_hash, new_hash)
            revoked = await session.run_sync(sessions.revoke_all, user_id, self.principal.session_id)
        await logins.tell_revoked(self, revoked)


routes = [
    (r"/api/v1/me", MeHandler),
    (r"/api/v1/me/sessions", SessionsHandler),
    (rf"/api/v1/me/sessions/{UUID_PATTERN}", SessionHandler),
    (r"/api/v1/me/password", PasswordHandler),
]
