"""The one way in which these tests call the API: it holds every answer to what all answers promise."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from tornado.httpclient import AsyncHTTPClient
from tornado.httputil import HTTPHeaders

from handlers.http.base import NotFoundHandler
from handlers.http.operations import operation_of
from handlers.routes import ROUTES
from tests.support.refusals import STATUS

NOT_SENT = object()

SECRETS = {
    "password",
    "password_hash",
    "refresh_hash",
    "refresh_key",
    "maximum",
    "leader_maximum",
    "leader_id",
    "synced_version",
}
"""Names of fields that no answer may have."""

AUCTION = {
    "id",
    "seller_id",
    "seller_name",
    "kind",
    "region_code",
    "radius",
    "state",
    "category",
    "condition",
    "deliveries",
    "title",
    "description",
    "addenda",
    "start_price",
    "increments",
    "increment_table",
    "opens_at",
    "ends_at",
    "latest_end",
    "soft_close_window_ms",
    "soft_close_extension_ms",
    "reserve",
    "reserve_met",
    "buy_now",
    "buy_now_until",
    "price",
    "leader_paddle",
    "next_minimum",
    "bids",
    "hammer_price",
    "winner_paddle",
    "cancel_reason",
    "relisted_from",
    "relisted_as",
    "created_at",
    "version",
    "hidden",
}
"""The fields of an auction, for every viewer."""

CARD = {
    "id",
    "kind",
    "state",
    "title",
    "category",
    "condition",
    "deliveries",
    "start_price",
    "price",
    "next_minimum",
    "bids",
    "opens_at",
    "ends_at",
    "buy_now",
    "reserve_met",
    "seller_id",
    "seller_name",
    "region_code",
    "region_name",
    "distance",
    "photo",
    "viewers",
}


@dataclass(frozen=True)
class Answer:
    """What came back; `body` is None without one."""

    status: int
    body: Any
    headers: HTTPHeaders


class Client:
    """Calls the API as the user of `token`, or as a guest. Paths are below `/api/v1` unless they begin with `/api/`."""

    def __init__(self, http: AsyncHTTPClient, user_id: UUID | None = None, token: str | None = None) -> None:
        self._http = http
        self._user_id = user_id
        self.token = token

    @property
    def user_id(self) -> UUID:
        """The user; not for guests."""
        assert self._user_id is not None
        return self._user_id

    async def call(
        self,
        method: str,
        path: str,
        body: object = NOT_SENT,
        *,
        raw: bytes | None = None,
        version: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send `body` as JSON, or `raw` as it is. `version` is the one to be edited."""
        request_id = uuid4().hex
        address = path if path.startswith("/api/") else f"/api/v1{path}"
        sent = {"X-Request-ID": request_id, "Content-Type": "application/json"}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if version is not None:
            sent["If-Match"] = f'"{version}"'
        response = await self._http.fetch(
            address,
            method=method,
            headers=sent | (headers or {}),
            body=json.dumps(body).encode() if body is not NOT_SENT else raw,
            allow_nonstandard_methods=True,
            raise_error=False,
            follow_redirects=False,
        )
        answer = Answer(response.code, json.loads(response.body) if response.body else None, response.headers)
        assert "Server" not in answer.headers
        assert answer.headers["Cache-Control"] == "no-store"
        if "X-Request-ID" not in (headers or {}):
            assert answer.headers["X-Request-ID"] == request_id
        _check_declared(method, address.partition("?")[0], answer)
        if method != "HEAD":
            assert answer.headers.get("ETag") == _version_tag(answer)
        if answer.status >= 400:
            _check_problem(method, address.partition("?")[0], answer)
        elif answer.status in (204, 302) or method == "HEAD":
            assert answer.body is None
        else:
            assert answer.headers["Content-Type"] == "application/json"
        # The documents name the fields of requests, too.
        if answer.status < 300 and address.startswith("/api/v1/"):
            for name, value in _members(answer.body):
                assert name not in SECRETS
                if name not in ("latitude", "longitude"):
                    assert not isinstance(value, float), f"{name}: amounts and times are integers"
        return answer

    async def get(self, path: str) -> Any:
        """The body of a successful GET."""
        return await self.done("GET", path)

    async def post(self, path: str, body: object = NOT_SENT) -> Any:
        """The body of a successful POST."""
        return await self.done("POST", path, body)

    async def done(self, method: str, path: str, body: object = NOT_SENT, **kwargs: Any) -> Any:
        """The body of an answer that must not be a refusal."""
        answer = await self.call(method, path, body, **kwargs)
        assert answer.status < 300, answer.body
        return answer.body

    async def items(self, path: str, limit: int) -> list[dict[str, Any]]:
        """Every item of a list, read in pages of `limit`."""
        items: list[dict[str, Any]] = []
        query = f"{path}{'&' if '?' in path else '?'}limit={limit}"
        cursor = ""
        while True:
            page = await self.get(query + cursor)
            assert set(page) == {"items", "next_cursor"}
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = f"&cursor={page['next_cursor']}"

    async def refused(self, method: str, path: str, body: object = NOT_SENT, **kwargs: Any) -> str:
        """The code of the refusal that must come."""
        answer = await self.call(method, path, body, **kwargs)
        assert answer.status >= 400, answer.body
        return str(answer.body["code"])


def _version_tag(answer: Answer) -> str | None:
    """The ETag that the answer must have: that of a version, or none."""
    is_versioned = answer.status < 300 and isinstance(answer.body, dict) and "version" in answer.body
    return f'"{answer.body["version"]}"' if is_versioned else None


def _check_declared(method: str, path: str, answer: Answer) -> None:
    """What the OpenAPI document does not say about an operation does not occur."""
    handler = next((handler for pattern, handler in ROUTES if re.fullmatch(pattern, path)), NotFoundHandler)
    offered = "GET" if method == "HEAD" else method
    operation = operation_of(handler, offered) if offered in handler.methods() else None
    if operation is None:
        return
    if answer.status < 400:
        assert answer.status in operation.statuses
    else:
        codes = operation.codes(handler.is_public(method))
        assert answer.status in {code.status for code in codes}
        assert answer.body is None or answer.body["code"] in codes


def _check_problem(method: str, path: str, answer: Answer) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json"
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    if answer.status == 405:
        assert "OPTIONS" in answer.headers["Allow"]
    if answer.status == 429:
        assert int(answer.headers["Retry-After"]) == answer.body["retry_after_s"] >= 1
    if answer.status == 503:
        assert answer.headers["Retry-After"] == "1"
    if method == "HEAD":
        assert answer.body is None
        return
    problem = answer.body
    assert problem["status"] == answer.status == STATUS[problem["code"]]
    assert problem["type"] == f"/problems/{problem['code']}"
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["instance"] == path
    assert problem["title"]
    assert problem["detail"]


def _members(value: object) -> Iterator[tuple[str, object]]:
    """Every member of every object in a JSON value."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from _members(member)
    elif isinstance(value, list):
        for item in value:
            yield from _members(item)


People = Callable[..., Client]
