"""The wallet of the user."""

from http import HTTPStatus
from uuid import UUID

from handlers.http.base import ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from handlers.http.refusals import HttpRefusal
from market.errors import Refusal
from market.fields import Amount
from market.money import wallet
from market.money.refusals import MoneyRefusal
from market.money.wallet import Wallet
from market.platform.refusals import PlatformRefusal


class TopUp(Body, frozen=True, kw_only=True):
    """Money without a payment. The client makes `id`, so that sending it again is harmless."""

    id: UUID
    amount: Amount


class WalletHandler(ApiHandler):
    """GET: the money in your wallet, available and held."""

    @operation()
    async def get(self) -> Wallet:
        return await self.use(wallet.view, self.principal.user_id)


class TopUpsHandler(ApiHandler):
    """POST: put money in without paying, on development systems only."""

    @operation(
        HttpRefusal.NOT_AVAILABLE,
        PlatformRefusal.SWITCHED_OFF,
        MoneyRefusal.TRANSFER_CONFLICT,
        MoneyRefusal.BALANCE_TOO_LARGE,
        statuses=(HTTPStatus.CREATED,),
        idempotent=True,
    )
    async def post(self, body: TopUp) -> Wallet:
        if not self.services.development:
            raise Refusal(HttpRefusal.NOT_AVAILABLE, "Topping up without payment is for development only.")
        self.set_header("Location", "/api/v1/wallet")
        return await self.use_once(wallet.top_up, self.principal.user_id, body.amount, body.id)


routes = [
    (r"/api/v1/wallet", WalletHandler),
    (r"/api/v1/wallet/top-ups", TopUpsHandler),
]
