"""Registering, logging in and out, and keeping a log-in alive."""

from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
import structlog

from handlers.accounts import log_ins
from handlers.http.base import ApiHandler
from handlers.http.cookies import CookieHandler
from handlers.http.operations import operation
from handlers.http.parsing import Addressed, Body, Code
from handlers.http.refusals import HttpRefusal
from handlers.http.tokens import read_refresh_token, write_refresh_token
from market.accounts import accounts, email_tokens, sessions
from market.accounts.accounts import NewUser
from market.accounts.passwords import require_uncommon
from market.accounts.refusals import AccountRefusal
from market.accounts.sessions import LogIn, RefreshToken, Reused
from market.errors import Refusal
from market.fields import DisplayName, Email, NewPassword, Password
from market.platform.refusals import PlatformRefusal
from store.models import Language

log = structlog.get_logger()


class Registration(Body, frozen=True, kw_only=True):
    """A new user. Upper and lower case are the same in the e-mail address."""

    email: Email
    password: NewPassword
    display_name: DisplayName
    language: Language = Language.ENGLISH


class Credentials(Body, frozen=True, kw_only=True):
    """What a user logs in with, and where the refresh token is kept: for browsers, in a cookie. The code is for users
    with a second factor."""

    email: Email
    password: Password
    code: Code | None = None
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
    """POST: register. Logging in is a second step. The answer does not reveal, not even by the work it takes, whether
    the address already has an account; its owner is notified by e-mail."""

    public = True

    @operation(
        PlatformRefusal.SWITCHED_OFF,
        AccountRefusal.PASSWORD_TOO_COMMON,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.ACCEPTED,),
    )
    async def post(self, body: Registration) -> Addressed:
        require_uncommon(body.password, body.email, body.display_name)
        new = NewUser(
            email=body.email,
            password_hash=await self.services.passwords.hash(body.password),
            display_name=body.display_name,
            language=body.language,
        )
        await self.use(email_tokens.sign_up, new, verify=self.services.verify_email)
        return Addressed(new.email.lower())


class _TokensHandler(CookieHandler):
    """Answers with tokens."""

    public = True

    def hand_out(self, log_in: LogIn, token: RefreshToken, in_cookie: bool) -> LoggedIn:
        """Both tokens, the refresh token in the cookie or in the body."""
        access_token, expires_at = self.services.tokens.issue(log_in)
        refresh_token = write_refresh_token(token)
        if in_cookie:
            self.write_refresh_cookie(refresh_token)
        return LoggedIn(access_token, expires_at, None if in_cookie else refresh_token)


class LoginHandler(_TokensHandler):
    """POST: log in. The answer does not reveal, not even by the work it takes, whether the user exists."""

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.BANNED,
        AccountRefusal.SECOND_FACTOR_REQUIRED,
        AccountRefusal.INVALID_CODE,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.FOREIGN_PAGE,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: Credentials) -> LoggedIn:
        in_cookie = body.transport == "cookie"
        if in_cookie:
            self.require_own_page()
        user_id, password_hash = await self.use(accounts.login_data, body.email) or (None, None)
        account = user_id or body.email
        attempt = await log_ins.check_password(self, account, password_hash, body.password, more_to_come=True)
        if user_id is None or password_hash is None or attempt is None:
            raise Refusal(AccountRefusal.INVALID_CREDENTIALS)
        token = RefreshToken.new()
        outcome = await self.use(
            sessions.log_in,
            self.services.vault,
            user_id,
            password_hash,
            body.code,
            token,
            self.services.session_lifetime,
        )
        log_in = log_ins.accepted(outcome)
        if attempt.counted:
            await log_ins.forget_attempts(self, user_id)
        await log_ins.leave_trace(self, user_id)
        return self.hand_out(log_in, token, in_cookie)


class RefreshHandler(_TokensHandler):
    """POST: exchange a refresh token for the next one and a new access token. Repeated at once, it answers the same
    one."""

    @operation(AccountRefusal.INVALID_REFRESH_TOKEN, HttpRefusal.FOREIGN_PAGE, statuses=(HTTPStatus.CREATED,))
    async def post(self, body: Refresh) -> LoggedIn:
        shown = body.refresh_token
        in_cookie = shown is None
        if shown is None:
            self.require_own_page()
            shown = self.read_refresh_cookie()
        token = read_refresh_token(shown)
        if token is None:
            raise Refusal(AccountRefusal.INVALID_REFRESH_TOKEN)
        outcome = await self.use(sessions.refresh, token, self.services.session_lifetime.idle_s)
        if isinstance(outcome, Reused):
            log.warning(
                "refresh_token_reused", user_id=str(outcome.user_id), session_id=str(outcome.session_id)
            )
            raise Refusal(AccountRefusal.INVALID_REFRESH_TOKEN)
        return self.hand_out(outcome.log_in, outcome.token, in_cookie)


class LogoutHandler(CookieHandler):
    """POST: end this session. Its tokens are void from then on."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self) -> None:
        await self.use(sessions.log_out, self.principal)
        self.clear_refresh_cookie()


class LogoutAllHandler(CookieHandler):
    """POST: end all your sessions, including this one."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self) -> None:
        await self.use(sessions.revoke_all, self.principal.user_id)
        self.clear_refresh_cookie()


routes = [
    (r"/api/v1/auth/register", RegisterHandler),
    (r"/api/v1/auth/login", LoginHandler),
    (r"/api/v1/auth/refresh", RefreshHandler),
    (r"/api/v1/auth/logout", LogoutHandler),
    (r"/api/v1/auth/logout-all", LogoutAllHandler),
]
