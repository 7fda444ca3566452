"""Registering, logging in and out, and keeping a log-in alive."""

from http import HTTPStatus
from typing import Annotated, Literal

import msgspec

from handlers import logins
from handlers.base import ApiHandler
from handlers.cookies import CookieHandler
from handlers.operations import operation
from handlers.parsing import ONE_LINE, Body, Email, NewPassword, Password
from handlers.tokens import new_refresh_token, refresh_hash
from market import accounts, sessions
from market.accounts import Profile
from market.errors import Refusal
from market.sessions import Principal, Reused


class Registration(Body, frozen=True, kw_only=True):
    """A new user. Upper and lower case are the same in the e-mail address."""

    email: Email
    password: NewPassword
    display_name: Annotated[str, msgspec.Meta(max_length=50, pattern=ONE_LINE)]


class Credentials(Body, frozen=True, kw_only=True):
    """What a user logs in with, and where the refresh token is to be kept: browsers want the cookie."""

    email: Email
    password: Password
    transport: Literal["body", "cookie"] = "body"


class Refresh(Body, frozen=True, kw_only=True):
    """The refresh token; left out, it is in the cookie."""

    refresh_token: Annotated[str, msgspec.Meta(max_length=128)] | None = None


class LoggedIn(msgspec.Struct, frozen=True):
    """An access token, when it expires (ms), and the refresh token, unless it went into the cookie."""

    access_token: str
    expires_at: int
    refresh_token: str | None


class RegisterHandler(ApiHandler):
    """POST: register. Logging in is a second step."""

    public = True

    @operation("email_taken", "busy", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: Registration) -> Profile:
        password_hash = await self.services.passwords.hash(body.password)
        self.set_header("Location", "/api/v1/me")
        return await self.use(accounts.register, body.email, password_hash, body.display_name)


class _TokensHandler(CookieHandler):
    """Answers with tokens."""

    public = True

    def hand_out(self, principal: Principal, refresh_token: str, in_cookie: bool) -> LoggedIn:
        """Both tokens; the refresh token is shown this once."""
        access_token, expires_at = self.services.tokens.issue(principal)
        if in_cookie:
            self.write_refresh_cookie(refresh_token)
        return LoggedIn(access_token, expires_at, None if in_cookie else refresh_token)


class LoginHandler(_TokensHandler):
    """POST: log in. The answer does not tell, not even by the work it takes, whether the user exists."""

    @operation(
        "invalid_credentials",
        "banned",
        "too_many_attempts",
        "foreign_page",
        "busy",
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: Credentials) -> LoggedIn:
        in_cookie = body.transport == "cookie"
        if in_cookie:
            self.require_own_page()
        user_id, password_hash = await self.use(accounts.login_data, body.email) or (None, None)
        right = await logins.check_password(self, body.email, password_hash, body.password)
        if user_id is None or password_hash is None or not right:
            raise Refusal("invalid_credentials", "The e-mail address or the password is wrong.")
        token = new_refresh_token()
        principal = await self.use(
            sessions.log_in, user_id, password_hash, refresh_hash(token), self.services.session_lifetime
        )
        return self.hand_out(principal, token, in_cookie)


class RefreshHandler(_TokensHandler):
    """POST: exchange a refresh token for the next one and a new access token."""

    @operation("invalid_refresh_token", "refresh_conflict", "foreign_page", statuses=(HTTPStatus.CREATED,))
    async def post(self, body: Refresh) -> LoggedIn:
        shown = body.refresh_token
        in_cookie = shown is None
        if shown is None:
            self.require_own_page()
            shown = self.read_refresh_cookie()
        token = new_refresh_token()
        outcome = await self.use(
            sessions.refresh, refresh_hash(shown), refresh_hash(token), self.services.session_lifetime.idle_s
        )
        if isinstance(outcome, Reused):
            await logins.tell_revoked(self, [outcome.session_id])
            raise Refusal("invalid_refresh_token", "This refresh token was used before. Log in again.")
        return self.hand_out(outcome, token, in_cookie)


class LogoutHandler(CookieHandler):
    """POST: end this session. Its tokens are worth nothing from then on."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self) -> None:
        revoked = await self.use(sessions.revoke, self.principal.user_id, self.principal.session_id)
        await logins.tell_revoked(self, revoked)
        self.clear_refresh_cookie()


class LogoutAllHandler(CookieHandler):
    """POST: end all sessions of the user, this one too."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self) -> None:
        await logins.tell_revoked(self, await self.use(sessions.revoke_all, self.principal.user_id))
        self.clear_refresh_cookie()


routes = [
    (r"/api/v1/auth/register", RegisterHandler),
    (r"/api/v1/auth/login", LoginHandler),
    (r"/api/v1/auth/refresh", RefreshHandler),
    (r"/api/v1/auth/logout", LogoutHandler),
    (r"/api/v1/auth/logout-all", LogoutAllHandler),
]
