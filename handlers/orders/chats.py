"""The chat of an order."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body, PageQuery
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal
from market.fields import PROSE
from market.orders import chats
from market.orders.chats import MessageView, ReadMarker
from market.pages import Page
from market.rules import MAX_AMOUNT


class NewMessage(Body, frozen=True, kw_only=True):
    """A message to the other party."""

    text: Annotated[str, Meta(min_length=1, max_length=chats.MAX_TEXT, pattern=PROSE)]


class Read(Body, frozen=True, kw_only=True):
    """Up to which message the user has read."""

    number: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]


class MessagesHandler(ApiHandler):
    """POST: write to the other party. GET: the messages of both, newest first."""

    @operation(AccountRefusal.BLOCKED, statuses=(HTTPStatus.CREATED,), idempotent=True)
    async def post(self, order_id: UUID, body: NewMessage) -> MessageView:
        return await self.use_once(chats.send, self.principal.user_id, order_id, body.text)

    @operation(GeneralRefusal.INVALID_CURSOR)
    async def get(self, order_id: UUID, query: PageQuery) -> Page[MessageView]:
        return await self.use(chats.page, self.principal.user_id, order_id, query.cursor, query.limit)


class ReadHandler(ApiHandler):
    """POST: mark messages as read, up to one."""

    @operation()
    async def post(self, order_id: UUID, body: Read) -> ReadMarker:
        return await self.use(chats.read, self.principal.user_id, order_id, body.number)


routes = [
    (rf"/api/v1/orders/{UUID_PATTERN}/messages", MessagesHandler),
    (rf"/api/v1/orders/{UUID_PATTERN}/messages/read", ReadHandler),
]
