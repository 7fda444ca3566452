"""Which pages of other origins may use the API: exactly the listed ones."""

import pytest

from handlers.http.cookies import HEADER
from tests.support.gateway import Answer, StartGateway

ALLOWED = "https://app.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type",
}
FOREIGN = [
    "https://evil.example",
    "https://app.example.evil.example",
    "https://evil-app.example",
    "https://appxexample",
    "https://app.example:8443",
    "http://app.example",
    "HTTPS://APP.EXAMPLE",
    "https://app.example https://evil.example",
    "https://app.example /api/",
    "null",
    "",
]


def permissions(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def test_a_listed_page_may_call_the_api(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS=f"http://localhost:5173,{ALLOWED}")
    for origin in (ALLOWED, "http://localhost:5173"):
        answer = await gateway.ask("GET", "/api/v1/me", {"Origin": origin})
        assert answer.status == 200
        assert permissions(answer) == {
            "access-control-allow-origin": origin,
            "access-control-allow-credentials": "true",
            "access-control-expose-headers": "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID",
        }
        assert answer.headers["vary"] == "Origin"


async def test_the_gateway_answers_preflights_itself(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS=ALLOWED)
    answer = await gateway.ask("OPTIONS", "/api/v1/me", {"Origin": ALLOWED, **PREFLIGHT})
    assert (answer.status, answer.body, gateway.echo.seen) == (204, b"", [])
    allowed = permissions(answer)
    assert allowed["access-control-allow-origin"] == ALLOWED
    assert allowed["access-control-allow-credentials"] == "true"
    assert allowed["access-control-allow-methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE"
    assert (
        allowed["access-control-allow-headers"]
        == f"Authorization, Content-Type, Idempotency-Key, If-Match, {HEADER}"
    )
    assert allowed["access-control-max-age"] == "600"
    assert answer.headers["vary"] == "Origin"
    # A plain OPTIONS is a question to the API.
    await gateway.ask("OPTIONS", "/api/v1/me", {"Origin": ALLOWED})
    assert [seen.method for seen in gateway.echo.seen] == ["OPTIONS"]


async def test_a_listed_page_may_send_the_header_that_the_cookie_wants(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS=ALLOWED)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": HEADER.lower()}
    answer = await gateway.ask("OPTIONS", "/api/v1/auth/refresh", {"Origin": ALLOWED, **asked})
    allowed = permissions(answer)["access-control-allow-headers"].lower().split(", ")
    assert HEADER.lower() in allowed


async def test_a_page_that_is_not_listed_gets_no_permission(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS=ALLOWED)
    for origin in FOREIGN:
        for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            answer = await gateway.ask(method, "/api/v1/me", {"Origin": origin, **headers})
            assert permissions(answer) == {}, origin
            assert answer.headers["vary"] == "Origin", "a cache must not give it to a listed page"


async def test_without_a_list_nobody_is_listed(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert permissions(await gateway.ask("GET", "/api/v1/me", {"Origin": ALLOWED})) == {}


@pytest.mark.parametrize("path", ["/", "/live.js", "/metrics", "/x/../api"])
async def test_permissions_are_for_the_api_only(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS=ALLOWED)
    assert permissions(await gateway.ask("GET", path, {"Origin": ALLOWED})) == {}


async def test_a_listed_page_can_read_why_the_gateway_refused(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(behind=False, ALLOWED_ORIGINS=ALLOWED)
    answer = await gateway.ask("GET", "/api/v1/me", {"Origin": ALLOWED})
    assert (answer.status, permissions(answer)["access-control-allow-origin"]) == (502, ALLOWED)
