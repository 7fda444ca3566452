"""The user's account: profile, sessions, password, deletion."""

from http import HTTPStatus
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from handlers.accounts import log_ins
from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.cookies import CookieHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, Edit
from handlers.http.refusals import HttpRefusal
from market import account_deletion
from market.accounts import accounts, sessions
from market.accounts.accounts import Profile
from market.accounts.passwords import require_uncommon
from market.accounts.refusals import AccountRefusal
from market.accounts.sessions import SessionList
from market.errors import GeneralRefusal, Refusal
from market.fields import PROSE, DisplayName, NewPassword, Password


class PasswordChange(Body, frozen=True, kw_only=True):
    """The current password and the new one."""

    old_password: Password
    new_password: NewPassword


class ProfileEdit(Edit, frozen=True, kw_only=True):
    """New values. The e-mail address cannot be changed."""

    display_name: DisplayName | UnsetType = UNSET
    language: Literal["en", "ko"] | UnsetType = UNSET
    bio: Annotated[str, msgspec.Meta(max_length=500, pattern=PROSE)] | UnsetType = UNSET


class Deletion(Body, frozen=True, kw_only=True):
    """The password, as proof that the owner asks."""

    password: Password


class MeHandler(ApiHandler):
    """GET: your profile. PATCH: edit it."""

    @operation(GeneralRefusal.NOT_FOUND)
    async def get(self) -> Profile:
        return await self.use(accounts.profile, self.principal.user_id)

    @operation(edits=True)
    async def patch(self, body: ProfileEdit, version: int) -> Profile:
        return await self.use(accounts.edit_profile, self.principal.user_id, version, body.changes())


class SessionsHandler(ApiHandler):
    """GET: the sessions in which you are logged in."""

    @operation()
    async def get(self) -> SessionList:
        return await self.use(sessions.open_sessions, self.principal.user_id, self.principal.session_id)


class SessionHandler(ApiHandler):
    """DELETE: end one of your own sessions."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, session_id: UUID) -> None:
        await self.use(sessions.revoke, self.principal.user_id, session_id)


class PasswordHandler(ApiHandler):
    """POST: change your password. An access token alone does not suffice; all other sessions end."""

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.PASSWORD_TOO_COMMON,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.NO_CONTENT,),
    )
    async def post(self, body: PasswordChange) -> None:
        user_id = self.principal.user_id
        profile = await self.use(accounts.profile, user_id)
        require_uncommon(body.new_password, profile.email, profile.display_name)
        old_hash = await self.use(accounts.password_hash, user_id)
        if not await log_ins.check_password(self, user_id, old_hash, body.old_password):
            raise Refusal(AccountRefusal.INVALID_CREDENTIALS, "Your current password is wrong.")
        new_hash = await self.services.passwords.hash(body.new_password)
        await self.use(accounts.change_password, user_id, old_hash, new_hash, self.principal.session_id)


class DeletionHandler(CookieHandler):
    """POST: delete your account, for good. Business and money must be settled first."""

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.BUSY,
        AccountRefusal.LAST_ADMIN,
        AccountRefusal.UNSETTLED_BUSINESS,
        AccountRefusal.BALANCE_NOT_ZERO,
        statuses=(HTTPStatus.NO_CONTENT,),
    )
    async def post(self, body: Deletion) -> None:
        user_id = self.principal.user_id
        password_hash = await self.use(accounts.password_hash, user_id)
        if not await log_ins.check_password(self, user_id, password_hash, body.password):
            raise Refusal(AccountRefusal.INVALID_CREDENTIALS, "Your password is wrong.")
        await self.use(account_deletion.delete, user_id, password_hash)
        self.clear_refresh_cookie()


routes = [
    (r"/api/v1/me", MeHandler),
    (r"/api/v1/me/sessions", SessionsHandler),
    (rf"/api/v1/me/sessions/{UUID_PATTERN}", SessionHandler),
    (r"/api/v1/me/password", PasswordHandler),
    (r"/api/v1/me/deletion", DeletionHandler),
]
