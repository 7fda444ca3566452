"""Quotas per account, or per address of a guest, and action."""

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from handlers.http import limits
from handlers.routes import ROUTES
from store.redis.clients import Hot
from store.redis.limits import Policy
from tests.support.client import Client, People
from tests.support.endpoints import example

PUBLISH = f"/seller/auctions/{uuid4()}/publish"


async def test_an_account_that_asks_too_often_is_told_to_wait(
    person: People, change_services: Callable[..., None]
) -> None:
    change_services(quota_factor=1)
    ann, ben = person(), person()
    answers = [await ann.call("POST", PUBLISH)]
    while answers[-1].status == 404:
        answer = answers[-1]
        # A problem document has them too.
        assert answer.headers["RateLimit-Policy"] == '"publish";q=30;w=60'
        assert re.fullmatch(r'"publish";r=[0-9]+;t=[0-9]+', answer.headers["RateLimit"])
        answers.append(await ann.call("POST", PUBLISH))
    refused = answers[-1]
    # The quota fills up by one in two seconds meanwhile.
    assert 30 < len(answers) < 40
    assert (refused.status, refused.body["code"]) == (429, "rate_limited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 2
    assert refused.headers["RateLimit"].startswith('"publish";r=0;t=')
    # Neither other actions nor other accounts of the same address suffer.
    assert (await ann.call("GET", "/me")).status == 200
    assert (await ben.call("POST", PUBLISH)).status == 404


async def test_an_answer_says_what_is_left(person: People) -> None:
    answer = await person().call("GET", "/me")
    assert answer.headers.get_list("RateLimit-Policy") == ['"default";q=60000;w=60']
    assert answer.headers.get_list("RateLimit") == ['"default";r=59999;t=1']
    assert "Retry-After" not in answer.headers


async def test_without_redis_everybody_is_let_through(person: People, redis_away: Callable[[], None]) -> None:
    ann = person()
    redis_away()
    with capture_logs() as logs:
        answer = await ann.call("GET", "/me")
    assert answer.status == 200
    assert "RateLimit" not in answer.headers
    assert [event["event"] for event in logs] == ["quota_not_counted"]


async def test_a_guest_is_counted_by_the_address(
    guest: Client, hot: Hot, change_services: Callable[..., None]
) -> None:
    change_services(quota_factor=1)
    key = "quota:register:address:127.0.0.1"
    await hot.client.delete(key)
    assert await guest.refused("POST", "/auth/register") == "invalid_json"
    # Other tests register from this address, too.
    assert await hot.client.delete(key) == 1


def test_an_ipv6_address_counts_as_its_network() -> None:
    assert limits.who(None, "2001:db8:1:2:3:4:5:6") == limits.who(None, "2001:db8:1:2::ffff")
    assert limits.who(None, "2001:db8:1:2::1") != limits.who(None, "2001:db8:1:3::1")
    assert limits.who(None, "192.0.2.1") != limits.who(None, "192.0.2.2")


@pytest.mark.parametrize(("methods", "pattern", "policy"), limits.POLICIES)
def test_every_policy_is_about_a_route(methods: str, pattern: str, policy: Policy) -> None:
    routes = [
        (f"/api/v1{path}", handler)
        for path, handler in ((example(route), handler) for route, handler in ROUTES[:-1])
        if re.fullmatch(pattern, f"/api/v1{path}")
    ]
    assert routes
    for path, handler in routes:
        assert set(methods.split("|")) <= set(handler.methods())
        assert limits.policy_of(methods.split("|")[0], path, 1) == policy


def test_no_two_policies_count_together() -> None:
    names = [policy.name for _, _, policy in limits.POLICIES]
    assert sorted(names) == sorted(set(names))


def test_the_document_tells_the_quotas() -> None:
    text = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| `(\w+)`.* \| ([0-9]+) in ([0-9]+) s \|$", text, re.MULTILINE)
    policies = [policy for _, _, policy in limits.POLICIES] + [limits.DEFAULT]
    assert [Policy(name, int(quota), int(window)) for name, quota, window in rows] == policies
