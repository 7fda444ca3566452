"""All addresses of the REST door."""

from handlers import auctions, auth, buyer, docs, factors, me, recovery, seller, wallet
from handlers.base import ApiHandler, NotFoundHandler

ROUTES: list[tuple[str, type[ApiHandler]]] = [
    *auth.routes,
    *recovery.routes,
    *me.routes,
    *factors.routes,
    *wallet.routes,
    *auctions.routes,
    *seller.routes,
    *buyer.routes,
    *docs.routes,
    (r"/api/.*", NotFoundHandler),
]
