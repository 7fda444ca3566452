"""The documents of the doors are complete and valid, and the page that shows them needs nothing from elsewhere.

That no other status or code occurs is held by `tests.support.client`, for every request of these tests.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from handlers.http.base import ApiHandler
from handlers.http.openapi import Undeclared, document
from handlers.platform.documents import PAGE
from handlers.routes import ROUTES
from tests.support.client import Client
from tests.support.refusals import STATUS

WEB = Path(__file__).parents[3] / "web"
DOCUMENT = json.loads(document(ROUTES))
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


class ForgottenHandler(ApiHandler):
    """GET: something that nobody has declared."""

    async def get(self) -> None: ...


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    validate(DOCUMENT)


def test_every_route_and_method_is_in_it() -> None:
    offered = {
        (method.lower(), re.sub(r"\([^()]*\)", "{}", pattern))
        for pattern, handler in ROUTES
        for method in handler.methods()
        if method not in ("HEAD", "OPTIONS")
    }
    assert offered == {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path, _ in OPERATIONS}


def test_a_method_that_is_not_declared_is_an_error() -> None:
    with pytest.raises(Undeclared, match="GET /api/v1/forgotten"):
        document([("/api/v1/forgotten", ForgottenHandler)])


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for *_, operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_every_code_is_described_by_an_operation_or_for_all() -> None:
    described = set(re.findall(r"`(\w+)`", str([operation["responses"] for *_, operation in OPERATIONS])))
    assert described | {"method_not_allowed"} == set(STATUS)


def test_private_operations_and_only_they_want_a_token() -> None:
    private = {
        (method, re.sub(r"\([^()]*\)", "{}", pattern))
        for pattern, handler in ROUTES
        for method in handler.methods()
        if not handler.is_public(method)
    }
    for method, path, operation in OPERATIONS:
        known = (method.upper(), re.sub(r"\{\w+\}", "{}", path)) in private
        assert ([list(way) for way in operation["security"]] == [["bearer"]]) is known


def members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [*value.items(), *(found for member in value.values() for found in members(member))]
    return [found for item in value for found in members(item)] if isinstance(value, list) else []


def test_patterns_are_those_of_json_schema() -> None:
    patterns = [member for name, member in members(DOCUMENT) if name == "pattern"]
    assert len(patterns) > 5
    assert not [pattern for pattern in patterns if r"\A" in pattern or r"\Z" in pattern]


async def test_the_documents_are_served(guest: Client) -> None:
    assert await guest.get("/api/openapi.json") == DOCUMENT
    assert (await guest.get("/api/asyncapi.json"))["asyncapi"] == "3.0.0"


async def test_the_page_is_served_by_the_gateway_and_needs_nothing_from_elsewhere(guest: Client) -> None:
    answer = await guest.call("GET", "/api/docs")
    assert (answer.status, answer.headers["Location"]) == (302, PAGE)
    page = (WEB / PAGE.strip("/") / "index.html").read_text()
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", page)
    assert "/docs/docs.js" in addresses
    assert set(addresses) - {"/api/openapi.json", "/api/asyncapi.json"} == {
        address for address in addresses if (WEB / address.lstrip("/")).is_file()
    }
    # The gateway's Content-Security-Policy would block what stands in the page itself.
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\b(style|on\w+)=", page)
    assert "http" not in (WEB / "docs" / "docs.js").read_text()
