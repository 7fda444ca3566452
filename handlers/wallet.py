"""The own money."""

from http import HTTPStatus
from uuid import UUID

from handlers.base import ApiHandler
from handlers.parsing import Amount, Body
from market import wallet
from market.errors import Refusal


class TopUp(Body, frozen=True, kw_only=True):
    """Money from nowhere. The client makes `id`, so that sending the same again is harmless."""

    id: UUID
    amount: Amount


class WalletHandler(ApiHandler):
    """GET: what is available and what is held."""

    async def get(self) -> None:
        self.respond(await self.use(wallet.view, self.principal.user_id))


class TopUpsHandler(ApiHandler):
    """POST: put money in without paying, which only a development system offers."""

    async def post(self) -> None:
        if not self.services.development:
            raise Refusal("not_available", "Topping up without a payment is for development only.")
        body = self.parse_body(TopUp)
        view = await self.use(wallet.top_up, self.principal.user_id, body.amount, body.id)
        self.respond(view, HTTPStatus.CREATED, location="/api/v1/wallet")


routes = [
    (r"/api/v1/wallet", WalletHandler),
    (r"/api/v1/wallet/top-ups", TopUpsHandler),
]
