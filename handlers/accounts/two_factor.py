"""The second factor of the user's account."""

from http import HTTPStatus

from handlers.accounts import log_ins
from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, Code
from handlers.http.refusals import HttpRefusal
from market.accounts import accounts, sessions, two_factor
from market.accounts.refusals import AccountRefusal
from market.accounts.two_factor import Enrolment, RecoveryCodes, Status
from market.errors import Refusal
from market.fields import Password


class PasswordProof(Body, frozen=True, kw_only=True):
    """The password again: an access token alone does not suffice."""

    password: Password


class CodeProof(Body, frozen=True, kw_only=True):
    """A code of the app."""

    code: Code


class FullProof(Body, frozen=True, kw_only=True):
    """The password again, and a code of the app or a recovery code."""

    password: Password
    code: Code


class _ProofHandler(ApiHandler):
    """Asks for the password again."""

    async def prove(self, password: str) -> str:
        """The hash of the user's password, if `password` is right. Refuses with `invalid_credentials`."""
        user_id = self.principal.user_id
        password_hash = await self.use(accounts.password_hash, user_id)
        if not await log_ins.check_password(self, user_id, password_hash, password):
            raise Refusal(AccountRefusal.INVALID_CREDENTIALS, "Your password is wrong.")
        return password_hash


class SecondFactorHandler(_ProofHandler):
    """GET: whether log-ins require a second factor. POST: begin to set it up, with a secret for the app on the
    phone."""

    @operation()
    async def get(self) -> Status:
        return await self.use(two_factor.status, self.principal.user_id)

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.BUSY,
        AccountRefusal.SECOND_FACTOR_ON,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: PasswordProof) -> Enrolment:
        password_hash = await self.prove(body.password)
        return await self.use(two_factor.begin, self.services.vault, self.principal.user_id, password_hash)


class SecondFactorConfirmHandler(ApiHandler):
    """POST: switch the second factor on with the first code. All other sessions end."""

    @operation(
        AccountRefusal.INVALID_CODE,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        AccountRefusal.SECOND_FACTOR_ON,
        AccountRefusal.SECOND_FACTOR_OFF,
    )
    async def post(self, body: CodeProof) -> RecoveryCodes:
        return log_ins.accepted(
            await self.use(sessions.confirm_second_factor, self.services.vault, self.principal, body.code)
        )


class RecoveryCodesHandler(_ProofHandler):
    """POST: make new recovery codes. The previous ones become void."""

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.INVALID_CODE,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.BUSY,
        AccountRefusal.SECOND_FACTOR_OFF,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: FullProof) -> RecoveryCodes:
        password_hash = await self.prove(body.password)
        user_id = self.principal.user_id
        return log_ins.accepted(
            await self.use(
                two_factor.renew_recovery_codes, self.services.vault, user_id, password_hash, body.code
            )
        )


class SecondFactorDisableHandler(_ProofHandler):
    """POST: switch the second factor off."""

    @operation(
        AccountRefusal.INVALID_CREDENTIALS,
        AccountRefusal.INVALID_CODE,
        AccountRefusal.TOO_MANY_ATTEMPTS,
        HttpRefusal.BUSY,
        AccountRefusal.SECOND_FACTOR_OFF,
        statuses=(HTTPStatus.NO_CONTENT,),
    )
    async def post(self, body: FullProof) -> None:
        password_hash = await self.prove(body.password)
        user_id = self.principal.user_id
        log_ins.accepted(
            await self.use(two_factor.disable, self.services.vault, user_id, password_hash, body.code)
        )


routes = [
    (r"/api/v1/me/second-factor", SecondFactorHandler),
    (r"/api/v1/me/second-factor/confirm", SecondFactorConfirmHandler),
    (r"/api/v1/me/second-factor/recovery-codes", RecoveryCodesHandler),
    (r"/api/v1/me/second-factor/disable", SecondFactorDisableHandler),
]
