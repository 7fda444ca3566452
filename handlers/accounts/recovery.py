"""What is done by e-mail: confirming an address, and resetting a forgotten password."""

from http import HTTPStatus
from typing import Annotated

import msgspec

from handlers.accounts import log_ins
from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Addressed, Body
from handlers.http.refusals import HttpRefusal
from market.accounts import email_tokens
from market.accounts.passwords import require_uncommon
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal
from market.fields import Email, NewPassword

Token = Annotated[str, msgspec.Meta(max_length=128, pattern=r"\A[A-Za-z0-9_-]+\Z")]
"""From an e-mail."""


class Verification(Body, frozen=True, kw_only=True):
    """The token of the e-mail that verifies an address."""

    token: Token


class Forgotten(Body, frozen=True, kw_only=True):
    """The address of the account whose password is forgotten."""

    email: Email


class PasswordReset(Body, frozen=True, kw_only=True):
    """The token of the e-mail, and the new password."""

    token: Token
    new_password: NewPassword


class VerifyHandler(ApiHandler):
    """POST: confirm an address. The token is the proof, so nobody needs to be logged in."""

    public = True

    @operation(GeneralRefusal.INVALID_TOKEN, statuses=(HTTPStatus.NO_CONTENT,))
    async def post(self, body: Verification) -> None:
        await self.use(email_tokens.verify, body.token)


class VerificationHandler(ApiHandler):
    """POST: send the e-mail that verifies your address again. The one before becomes void."""

    @operation(AccountRefusal.EMAIL_VERIFIED, statuses=(HTTPStatus.ACCEPTED,))
    async def post(self) -> Addressed:
        return Addressed(await self.use(email_tokens.send_verification, self.principal.user_id))


class ForgotHandler(ApiHandler):
    """POST: send the e-mail to reset a password. The answer does not reveal whether the address has an account."""

    public = True

    @operation(statuses=(HTTPStatus.ACCEPTED,))
    async def post(self, body: Forgotten) -> Addressed:
        await self.use(email_tokens.forgot, body.email)
        return Addressed(body.email.lower())


class ResetHandler(ApiHandler):
    """POST: choose a new password with the token of the e-mail. All sessions end."""

    public = True

    @operation(
        GeneralRefusal.INVALID_TOKEN,
        AccountRefusal.PASSWORD_TOO_COMMON,
        HttpRefusal.BUSY,
        statuses=(HTTPStatus.NO_CONTENT,),
    )
    async def post(self, body: PasswordReset) -> None:
        # Only a good token is worth the work of a hash.
        person = await self.use(email_tokens.may_reset, body.token)
        require_uncommon(body.new_password, person.email, person.display_name)
        password_hash = await self.services.passwords.hash(body.new_password)
        user_id = await self.use(email_tokens.reset, body.token, password_hash)
        await log_ins.forget_attempts(self, user_id)


routes = [
    (r"/api/v1/auth/verify", VerifyHandler),
    (r"/api/v1/auth/forgot", ForgotHandler),
    (r"/api/v1/auth/reset", ResetHandler),
    (r"/api/v1/me/verification", VerificationHandler),
]
