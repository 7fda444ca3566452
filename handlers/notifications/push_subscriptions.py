"""How notifications reach people who are away: browsers subscribed to Web Push, and unsubscribing from e-mails."""

from base64 import urlsafe_b64decode
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.errors import GeneralRefusal
from market.notifications import push_subscriptions, unsubscribing
from market.notifications.push_subscriptions import PushSubscriptionView
from market.notifications.refusals import NotificationRefusal
from store.models import Event


class PushKey(msgspec.Struct, frozen=True):
    """What a browser subscribes with (`applicationServerKey`): an uncompressed P-256 point in base64url."""

    key: str


class NewPushSubscription(Body, frozen=True, kw_only=True):
    """What a browser's `PushSubscription` says, the keys in base64url."""

    endpoint: Annotated[str, Meta(max_length=2048, pattern=r"\Ahttps?://[!-~]+\Z")]
    p256dh: Annotated[str, Meta(max_length=87, pattern=r"\A[A-Za-z0-9_-]{87}\Z")]
    auth: Annotated[str, Meta(max_length=22, pattern=r"\A[A-Za-z0-9_-]{22}\Z")]


class UnsubscribeQuery(Body, frozen=True, kw_only=True):
    """The token of the link."""

    token: Annotated[str, Meta(max_length=1024, pattern=r"\A[A-Za-z0-9_.-]+\Z")]


class Unsubscription(msgspec.Struct, frozen=True):
    """The events about which no more e-mails are sent."""

    events: list[Event]


class PushKeyHandler(ApiHandler):
    """GET: the key to subscribe a browser with."""

    @operation()
    async def get(self) -> PushKey:
        return PushKey(self.services.push_key)


class PushSubscriptionsHandler(ApiHandler):
    """POST: subscribe a browser to Web Push while the log-in lasts; again renews its keys."""

    @operation(NotificationRefusal.INVALID_SUBSCRIPTION, statuses=(HTTPStatus.CREATED,))
    async def post(self, body: NewPushSubscription) -> PushSubscriptionView:
        return await self.use(
            push_subscriptions.add,
            self.principal.user_id,
            self.principal.session_id,
            body.endpoint,
            urlsafe_b64decode(body.p256dh + "="),
            urlsafe_b64decode(body.auth + "=="),
            private_allowed=self.services.development,
        )


class PushSubscriptionHandler(ApiHandler):
    """DELETE: unsubscribe a browser."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, subscription_id: UUID) -> None:
        await self.use(push_subscriptions.remove, self.principal.user_id, subscription_id)


class UnsubscribeHandler(ApiHandler):
    """GET: what a link in an e-mail would end; nothing changes. POST: end it. The token is the proof, so nobody needs
    to be logged in, and e-mail programs may do it by themselves."""

    public = True

    @operation(GeneralRefusal.INVALID_TOKEN)
    async def get(self, query: UnsubscribeQuery) -> Unsubscription:
        _, events = unsubscribing.read_token(self.services.unsubscribe_key, query.token)
        return Unsubscription(events)

    # The body is the form that RFC 8058 wants sent, and says nothing more.
    @operation(GeneralRefusal.INVALID_TOKEN)
    async def post(self, query: UnsubscribeQuery) -> Unsubscription:
        user_id, events = unsubscribing.read_token(self.services.unsubscribe_key, query.token)
        await self.use(unsubscribing.unsubscribe, user_id, events)
        return Unsubscription(events)


routes = [
    (r"/api/v1/notifications/push-key", PushKeyHandler),
    (r"/api/v1/notifications/push-subscriptions", PushSubscriptionsHandler),
    (rf"/api/v1/notifications/push-subscriptions/{UUID_PATTERN}", PushSubscriptionHandler),
    (r"/api/v1/notifications/unsubscribe", UnsubscribeHandler),
]
