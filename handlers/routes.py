"""All addresses of the REST door."""

from itertools import chain

from handlers.accounts import auth, blocks, me, recovery, two_factor
from handlers.analytics import platform_stats
from handlers.bidding import bids, paddles
from handlers.http.base import ApiHandler, NotFoundHandler
from handlers.listings import auctions, categories, photos, questions, seller, watches
from handlers.moderation import auction_actions, audit, fraud_signals, hiding, reports, users
from handlers.money import adjustments, wallet
from handlers.notifications import announcements, dead_deliveries, notifications, push_subscriptions
from handlers.orders import chats, disputes, orders, reviews
from handlers.places import neighbourhoods, regions
from handlers.platform import documents, platform, settings

_MODULES = (
    *(auth, recovery, me, two_factor, blocks),
    *(wallet, adjustments),
    *(auctions, categories, watches, seller, photos, questions),
    *(bids, paddles),
    *(orders, chats, reviews, disputes),
    *(regions, neighbourhoods),
    *(notifications, push_subscriptions, announcements, dead_deliveries),
    *(users, reports, hiding, auction_actions, fraud_signals, audit),
    *(platform, settings, documents, platform_stats),
)

ROUTES: list[tuple[str, type[ApiHandler]]] = [
    *chain.from_iterable(module.routes for module in _MODULES),
    (r"/api/.*", NotFoundHandler),
]
