"""Whatever the gateway says: security headers on every kind of answer, problem documents on every refusal."""

import json

import pytest

from tests.support.gateway import Headers, StartGateway, assert_secure, exchange, parse

REFUSALS = [
    ("GET", "/nothing", {}, 404, "not_found"),
    ("GET", "/metrics", {}, 404, "not_found"),
    ("GET", "/nothing.html", {}, 404, "not_found"),
    ("GET", "/problems/400", {}, 404, "not_found"),
    ("POST", "/", {}, 405, "method_not_allowed"),
    ("TRACE", "/api/v1/me", {}, 405, "method_not_allowed"),
    ("POST", "/api/v1/me", {"Content-Length": str(1024 * 1024 + 1)}, 413, "body_too_large"),
    ("PUT", "/api/v1/me", {"Content-Length": str(1024 * 1024 + 1)}, 413, "body_too_large"),
    ("GET", "/api/v1/" + "x" * 5000, {}, 414, "uri_too_long"),
    ("GET", "/api/v1/me?cursor=" + "x" * 5000, {}, 414, "uri_too_long"),
    ("GET", "/api/v1/me", {"Cookie": "x" * 9000}, 431, "headers_too_large"),
    ("GET", "/api/v1/me", {f"X-{n}": "x" * 7000 for n in range(6)}, 431, "headers_too_large"),
    ("GET", "/api/v1/me", {"Host": "a b"}, 400, "bad_request"),
    ("GET", "/api/v1/me", {"Content-Length": "-1"}, 400, "bad_request"),
    ("POST", "/api/v1/me", {"Content-Length": "1", "Transfer-Encoding": "chunked"}, 400, "bad_request"),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "code"), REFUSALS)
async def test_a_refusal_is_a_problem_document(
    start_gateway: StartGateway, method: str, path: str, headers: Headers, status: int, code: str
) -> None:
    gateway = await start_gateway()
    answer = await gateway.ask(method, path, headers)
    assert_secure(answer)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    document = json.loads(answer.body)
    assert document == {
        "type": f"/problems/{code}",
        "title": document["title"],
        "status": status,
        "detail": document["detail"],
        "code": code,
        "instance": path.partition("?")[0],
        "request_id": answer.headers["x-request-id"],
    }
    assert gateway.echo.seen == [], "it reaches no process"


async def test_a_chunked_body_is_measured_too(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    head = b"POST /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = parse(await exchange(gateway.settings.gateway.http_port, head + chunk * 17))
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/live.js", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/", {"If-Modified-Since": "{last-modified}"}, 304),
        ("GET", "/", {"If-None-Match": "{etag}"}, 304),
        ("GET", "/", {"If-Match": '"other"'}, 412),
        ("GET", "/live.js", {"Range": "bytes=99999999-"}, 200),
        ("GET", "/api/v1/me", {}, 200),
        ("PUT", "/api/v1/me", {"Content-Length": "0"}, 200),
        (
            "OPTIONS",
            "/api/v1/me",
            {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"},
            204,
        ),
        ("GET", "/ws/live", {}, 200),
    ],
)
async def test_every_answer_has_the_security_headers(
    start_gateway: StartGateway, method: str, path: str, headers: Headers, status: int
) -> None:
    gateway = await start_gateway(ALLOWED_ORIGINS="https://app.example")
    known = (await gateway.ask("GET", "/")).headers
    given = {name: known.get(value.strip("{}"), value) for name, value in headers.items()}
    answer = await gateway.ask(method, path, given)
    assert answer.status == status
    assert_secure(answer)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"no HTTP at all\r\n\r\n", 400),
        (b"GET /../x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    ],
)
async def test_what_has_no_address_is_refused_alike(
    start_gateway: StartGateway, text: bytes, status: int
) -> None:
    gateway = await start_gateway()
    answer = parse(await exchange(gateway.settings.gateway.http_port, text))
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(answer.body)["status"] == status
    assert_secure(answer)
