"""The documents that describe our doors, and the way to the page that shows them."""

from http import HTTPStatus

import msgspec

from handlers.http.base import ApiHandler
from handlers.http.operations import operation

PAGE = "/docs/"
"""The static page, which the gateway serves from web/docs."""


class OpenApiHandler(ApiHandler):
    """GET: this document, OpenAPI 3.1 of the REST API."""

    public = True

    @operation()
    async def get(self) -> msgspec.Raw:
        return msgspec.Raw(self.services.openapi)


class AsyncApiHandler(ApiHandler):
    """GET: AsyncAPI 3 of the WebSocket `/ws/live`."""

    public = True

    @operation()
    async def get(self) -> msgspec.Raw:
        return msgspec.Raw(self.services.asyncapi)


class DocsHandler(ApiHandler):
    """GET: the page that shows both."""

    public = True

    @operation(statuses=(HTTPStatus.FOUND,))
    async def get(self) -> None:
        self.set_header("Location", PAGE)


routes = [
    (r"/api/openapi.json", OpenApiHandler),
    (r"/api/asyncapi.json", AsyncApiHandler),
    (r"/api/docs", DocsHandler),
]
