"""What all endpoints share: addresses, methods, request ids, who may come in, and what is said when things break."""

import re
import traceback
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs
from tornado.web import Application

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.places.regions import CODE_PATTERN
from handlers.routes import ROUTES
from market.errors import Refusal
from market.money.refusals import MoneyRefusal
from store.database import Database
from tests.support.client import Client, People
from tests.support.endpoints import example
from tests.support.factories import NOBODYS_ID
from tests.support.ports import CLOSED_PORT

SECRET = "a secret of the database"


ADDRESSES = [(example(pattern), handler) for pattern, handler in ROUTES if handler is not ROUTES[-1][1]]
PRIVATE = [
    (method, path)
    for path, handler in ADDRESSES
    for method in handler.methods()
    if method != "OPTIONS" and not handler.is_public(method)
]


class BrokenHandler(ApiHandler):
    """Does what must never happen."""

    public = True

    async def get(self) -> None:
        raise RuntimeError(SECRET)

    async def post(self) -> None:
        await self.use(divide_by_zero)

    async def patch(self) -> None:
        raise Refusal(MoneyRefusal.UNKNOWN_HOLD, SECRET)

    async def delete(self) -> None:
        outcomes = [deadlock] * int(self.get_query_argument("deadlocks")) + [succeed]
        await self.use(lambda session: outcomes.pop(0)(session))


def deadlock(session: Session) -> None:
    session.execute(text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$"))


def succeed(session: Session) -> None:
    session.execute(text("SELECT 1"))


def divide_by_zero(session: Session) -> None:
    session.execute(text("SELECT 1 / 0 WHERE :secret <> ''"), {"secret": SECRET})


@pytest.fixture
def app(app: Application) -> Application:
    app.add_handlers(".*", [("/api/v1/broken", BrokenHandler)])
    return app


@pytest.mark.parametrize(("method", "path"), PRIVATE)
async def test_a_private_endpoint_wants_a_valid_token(guest: Client, method: str, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer " + "x" * 43}):
        answer = await guest.call(method, path, headers=headers)
        assert answer.status == 401
        assert method == "HEAD" or answer.body["code"] == "unauthenticated"


async def test_what_lost_a_deadlock_is_tried_again_for_a_while(guest: Client) -> None:
    assert (await guest.call("DELETE", "/broken?deadlocks=0")).status == 200
    assert (await guest.call("DELETE", "/broken?deadlocks=3")).status == 200
    refused = await guest.call("DELETE", "/broken?deadlocks=4")
    assert (refused.status, refused.body["code"]) == (503, "unavailable")
    assert "Retry-After" in refused.headers


def test_exactly_these_addresses_are_public() -> None:
    public = {
        f"{method} {pattern}"
        for pattern, handler in ROUTES[:-1]
        for method in handler.methods()
        if method not in ("HEAD", "OPTIONS") and handler.is_public(method)
    }
    assert public == {
        "POST /api/v1/auth/register",
        "POST /api/v1/auth/verify",
        "POST /api/v1/auth/forgot",
        "POST /api/v1/auth/reset",
        "POST /api/v1/auth/login",
        "POST /api/v1/auth/refresh",
        "GET /api/v1/auctions",
        f"GET /api/v1/auctions/{UUID_PATTERN}",
        f"GET /api/v1/auctions/{UUID_PATTERN}/bids",
        f"GET /api/v1/auctions/{UUID_PATTERN}/prices",
        f"GET /api/v1/auctions/{UUID_PATTERN}/questions",
        "GET /api/v1/categories",
        "GET /api/v1/platform",
        "GET /api/v1/regions",
        f"GET /api/v1/regions/{CODE_PATTERN}",
        f"POST /api/v1/uploads/{UUID_PATTERN}",
        "GET /api/v1/notifications/unsubscribe",
        "POST /api/v1/notifications/unsubscribe",
        f"GET /api/v1/users/{UUID_PATTERN}",
        f"GET /api/v1/users/{UUID_PATTERN}/reviews",
        "GET /api/openapi.json",
        "GET /api/asyncapi.json",
        "GET /api/docs",
    }


async def test_a_bad_token_is_refused_where_guests_may_come_too(guest: Client) -> None:
    guest.token = "x" * 43
    assert await guest.refused("GET", f"/auctions/{uuid4()}") == "unauthenticated"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/me/", "/auctions/1", f"/auctions/{NOBODYS_ID.upper()}"]
)
async def test_an_unknown_address_is_a_problem_document(guest: Client, method: str, path: str) -> None:
    answer = await guest.call(method, path)
    assert answer.status == 404
    assert method == "HEAD" or answer.body["code"] == "not_found"


@pytest.mark.parametrize(("path", "handler"), ADDRESSES)
async def test_other_methods_are_refused_and_the_right_ones_named(
    person: People, path: str, handler: type[ApiHandler]
) -> None:
    ann, offered = person(), handler.methods()
    for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"} - set(offered):
        answer = await ann.call(method, path)
        assert answer.status == 405
        assert answer.headers["Allow"].split(", ") == offered
    answer = await ann.call("OPTIONS", path)
    assert (answer.status, answer.headers["Allow"].split(", ")) == (204, offered)


async def test_head_is_get_without_the_body(person: People) -> None:
    ann = person()
    for path in ("/me", "/auctions", "/wallet"):
        got, head = await ann.call("GET", path), await ann.call("HEAD", path)
        assert head.status == 200
        assert head.body is None
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


@pytest.mark.parametrize("given", ["short", "x" * 65, "has blank in it", "quote\"it'll", "<script>"])
async def test_a_malformed_request_id_is_replaced(guest: Client, given: str) -> None:
    answer = await guest.call("GET", "/auctions", headers={"X-Request-ID": given})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_an_unexpected_error_tells_the_client_nothing_and_the_log_everything(
    guest: Client, method: str
) -> None:
    with capture_logs(processors=[merge_contextvars]) as logs:
        answer = await guest.call(method, "/broken")
    assert answer.status == 500
    assert answer.body["code"] == "internal_error"
    assert SECRET not in str(answer)
    assert "Traceback" not in str(answer)
    [event] = [event for event in logs if event["event"] == "request_failed"]
    assert event["log_level"] == "error"
    assert event["request_id"] == answer.body["request_id"]
    assert isinstance(event["exc_info"], Exception)
    assert event["path"] == "/api/v1/broken"


async def test_the_values_of_a_failed_statement_stay_out_of_the_log(guest: Client) -> None:
    with capture_logs() as logs:
        await guest.call("POST", "/broken")
    [event] = [event for event in logs if event["event"] == "request_failed"]
    logged = "".join(traceback.format_exception(event["exc_info"]))
    assert "division by zero" in logged
    assert SECRET not in logged


@pytest.fixture
async def postgres_away(change_services: Callable[..., None]) -> AsyncIterator[Callable[[], None]]:
    nowhere = Database(f"postgresql://nobody@127.0.0.1:{CLOSED_PORT}/nothing")
    yield lambda: change_services(database=nowhere)
    await nowhere.dispose()


async def test_without_postgresql_the_answer_is_to_try_again(
    guest: Client, person: People, postgres_away: Callable[[], None]
) -> None:
    ann = person()
    postgres_away()
    with capture_logs() as logs:
        assert await ann.refused("GET", "/wallet") == "unavailable"
        answer = await guest.call("GET", "/auctions")
    assert answer.body["code"] == "unavailable"
    assert str(CLOSED_PORT) not in answer.body["detail"]
    assert [event["event"] for event in logs] == ["dependency_away"] * 2


async def test_what_tornado_itself_cannot_read_is_a_problem_document_too(guest: Client) -> None:
    assert await guest.refused("GET", "/auctions?state=%FF") == "bad_request"
    broken_form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert await guest.refused("POST", "/auth/login", raw=b"no form", headers=broken_form) == "bad_request"
