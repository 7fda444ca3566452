"""How much one client address may ask of the gateway."""

import asyncio

import pytest

from tests.support.gateway import Gateway, Headers, StartGateway
from tests.support.waiting import until


async def statuses(gateway: Gateway, count: int, method: str, path: str, headers: Headers) -> list[int]:
    return [(await gateway.ask(method, path, headers)).status for _ in range(count)]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_requests_to_the_api_are_limited(start_gateway: StartGateway, method: str) -> None:
    gateway = await start_gateway(REQUESTS_PER_S="1")
    answers = await statuses(gateway, 8, method, "/api/v1/me", {"Content-Length": "0"})
    # One, and a burst of two; what the seconds that pass add is at most a few.
    assert answers[:3] == [200, 200, 200]
    assert answers.count(429) >= 3
    assert len(gateway.echo.seen) == answers.count(200), "what is refused reaches no process"
    assert (await gateway.ask("GET", "/")).status == 200, "the page itself is not limited"


async def test_a_refusal_says_when_to_come_back(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(REQUESTS_PER_S="1")
    answers = [await gateway.ask("GET", "/api/v1/me") for _ in range(8)]
    said = {(answer.status, answer.headers.get("retry-after")) for answer in answers}
    assert said == {(200, None), (429, "1")}


SPOOFED = [
    "X-Forwarded-For",
    "X-Real-IP",
    "Forwarded",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "X-Forwarded",
]


@pytest.mark.parametrize("path", ["/api/v1/me", "/ws/live", "/api/v1/auth/login"])
async def test_a_spoofed_address_evades_no_limit(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway(REQUESTS_PER_S="1", HANDSHAKES_PER_S="1", AUTH_REQUESTS_PER_MINUTE="1")
    answers = []
    for number in range(10):
        headers = dict.fromkeys(SPOOFED, f"198.51.100.{number}") | {"Forwarded": f"for=198.51.100.{number}"}
        answers.append((await gateway.ask("GET", path, headers)).status)
    assert answers.count(429) >= 3
    for seen in gateway.echo.seen:
        assert (seen.headers["x-real-ip"], seen.headers["x-forwarded-for"]) == ("127.0.0.1", "127.0.0.1")


async def test_refreshing_is_not_limited_like_logging_in(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(AUTH_REQUESTS_PER_MINUTE="1")
    assert await statuses(gateway, 12, "POST", "/api/v1/auth/refresh", {"Content-Length": "0"}) == [200] * 12


async def test_logging_in_is_limited_more_strictly(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(AUTH_REQUESTS_PER_MINUTE="1")
    paths = ["/api/v1/auth/login", "/api/v1/%61uth/login", "/api//v1/auth/./login", "/api/v1/x/../auth/login"]
    answers = [(await gateway.ask("POST", path)).status for path in paths * 2]
    # One, and a burst of five, however the address is written.
    assert answers == [200] * 6 + [429] * 2
    assert (await gateway.ask("GET", "/api/v1/me")).status == 200


async def test_handshakes_are_limited(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(HANDSHAKES_PER_S="1")
    answers = await statuses(gateway, 8, "GET", "/ws/live", {})
    assert answers[:3] == [200, 200, 200]
    assert answers.count(429) >= 3


async def test_connections_are_limited(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(CONNECTIONS="3")
    held = [asyncio.create_task(gateway.ask("GET", "/api/wait")) for _ in range(3)]
    await until(lambda: len(gateway.echo.seen) == 3)
    for path in ("/", "/api/v1/me", "/ws/live"):
        refused = await gateway.ask("GET", path)
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    gateway.echo.release.set()
    assert [(await task).status for task in held] == [200] * 3

    async def is_free_again() -> bool:
        return (await gateway.ask("GET", "/")).status == 200

    await until(is_free_again)


async def test_development_lets_one_machine_play_everybody(start_gateway: StartGateway) -> None:
    development = (await start_gateway()).settings.limits
    production = (await start_gateway(ENVIRONMENT="production")).settings.limits
    for name in ("requests_per_s", "auth_requests_per_minute", "handshakes_per_s", "connections"):
        assert getattr(development, name) >= 40 * getattr(production, name)
