"""All addresses of the REST door."""

from handlers import (
    auctions,
    auth,
    bids,
    buyer,
    categories,
    chats,
    docs,
    factors,
    me,
    neighbourhoods,
    orders,
    photos,
    platform,
    recovery,
    regions,
    reviews,
    safety,
    seller,
    wallet,
)
from handlers.admin import routes as admin
from handlers.base import ApiHandler, NotFoundHandler

ROUTES: list[tuple[str, type[ApiHandler]]] = [
    *auth.routes,
    *recovery.routes,
    *me.routes,
    *factors.routes,
    *wallet.routes,
    *auctions.routes,
    *categories.routes,
    *platform.routes,
    *bids.routes,
    *seller.routes,
    *buyer.routes,
    *photos.routes,
    *regions.routes,
    *neighbourhoods.routes,
    *orders.routes,
    *chats.routes,
    *reviews.routes,
    *safety.routes,
    *admin.routes,
    *docs.routes,
    (r"/api/.*", NotFoundHandler),
]
