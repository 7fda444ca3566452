"""Registering, logging in and out, and who am I."""

import secrets
from http import HTTPStatus
from typing import Annotated

import msgspec

from handlers.base import ApiHandler, token_hash
from handlers.operations import operation
from handlers.parsing import ONE_LINE, Body, Email
from market import accounts
from market.accounts import Profile
from market.errors import Refusal

TOKEN_BYTES = 32


class Registration(Body, frozen=True, kw_only=True):
    """A new user. Upper and lower case are the same in the e-mail address."""

    email: Email
    password: Annotated[str, msgspec.Meta(min_length=10, max_length=128)]
    display_name: Annotated[str, msgspec.Meta(max_length=50, pattern=ONE_LINE)]


class Credentials(Body, frozen=True, kw_only=True):
    """What a user logs in with."""

    email: Email
    password: Annotated[str, msgspec.Meta(max_length=128)]


class LoggedIn(msgspec.Struct, frozen=True):
    """A bearer token, shown this once, and when it expires (ms)."""

    token: str
    expires_at: int


class RegisterHandler(ApiHandler):
    """POST: register. Logging in is a second step."""

    public = True

    @operation("email_taken", "busy", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: Registration) -> Profile:
        password_hash = await self.services.passwords.hash(body.password)
        self.set_header("Location", "/api/v1/me")
        return await self.use(accounts.register, body.email, password_hash, body.display_name)


class LoginHandler(ApiHandler):
    """POST: log in. The answer does not tell, not even by the work it takes, whether the user exists."""

    public = True

    @operation("invalid_credentials", "busy", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: Credentials) -> LoggedIn:
        user_id, password_hash = await self.use(accounts.login_data, body.email) or (None, None)
        right = await self.services.passwords.verify(password_hash, body.password)
        if user_id is None or not right:
            raise Refusal("invalid_credentials", "The e-mail address or the password is wrong.")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        opened = await self.use(
            accounts.open_session, user_id, token_hash(token), self.services.session_ttl_s
        )
        return LoggedIn(token, opened.expires_at)


class LogoutHandler(ApiHandler):
    """POST: end this session. Its token is worth nothing from then on."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self) -> None:
        await self.use(accounts.close_session, self.principal.session_id)


class MeHandler(ApiHandler):
    """GET: the own profile."""

    @operation("not_found")
    async def get(self) -> Profile:
        return await self.use(accounts.profile, self.principal.user_id)


routes = [
    (r"/api/v1/auth/register", RegisterHandler),
    (r"/api/v1/auth/login", LoginHandler),
    (r"/api/v1/auth/logout", LogoutHandler),
    (r"/api/v1/me", MeHandler),
]
