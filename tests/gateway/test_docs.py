"""The page that shows the API's documents, as the gateway serves it: everything in it passes its own policy."""

from html.parser import HTMLParser

import pytest

from handlers.platform.documents import PAGE
from server.settings import Settings
from tests.support.gateway import StartGateway, assert_secure, exchange, parse, request

TYPES = {
    "script-src": "application/javascript; charset=utf-8",
    "style-src": "text/css",
    "img-src": "image/svg+xml",
}
"""What a browser must be told to use a file, by the directive of the Content-Security-Policy that is about it."""


class Page(HTMLParser):
    """What a browser would load or run: addresses by directive, and `inline` what no policy of ours allows."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[tuple[str, str]] = []
        self.inline: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = tag
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and "src" in given:
            self.loads.append(("script-src", given["src"]))
        elif tag == "link":
            directive = {"stylesheet": "style-src", "icon": "img-src"}[given["rel"]]
            self.loads.append((directive, given["href"]))
        elif tag in ("img", "iframe", "object", "embed", "base", "form"):
            self.inline.append(tag)

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


async def test_the_page_passes_the_content_security_policy(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    answer = await gateway.ask("GET", PAGE)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert_secure(answer)
    policy = dict(
        directive.split(" ", 1) for directive in answer.headers["content-security-policy"].split("; ")
    )
    assert "'self'" in policy["connect-src"].split(), "it fetches the documents"
    page = Page()
    page.feed(answer.body.decode())
    assert page.inline == []
    assert {directive for directive, _ in page.loads} == set(TYPES)
    for directive, address in page.loads:
        assert "'self'" in policy[directive].split()
        assert address.startswith("/")
        assert not address.startswith("//")
        loaded = await gateway.ask("GET", address)
        assert (loaded.status, loaded.headers["content-type"]) == (200, TYPES[directive])
        assert_secure(loaded)
    assert gateway.echo.seen == [], "all of it is static"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/api/openapi.json", b'"openapi":"3.1.0"'), ("/api/asyncapi.json", b'"asyncapi":"3.0.0"')],
)
async def test_the_documents_are_served(instance: Settings, path: str, kind: bytes) -> None:
    answer = parse(await exchange(instance.gateway.http_port, request("GET", path)))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert kind in answer.body.replace(b" ", b"")
    assert_secure(answer)


async def test_the_address_of_the_documentation_leads_to_the_page(instance: Settings) -> None:
    answer = parse(await exchange(instance.gateway.http_port, request("GET", "/api/docs")))
    assert (answer.status, answer.headers["location"]) == (302, PAGE)
    assert_secure(answer)
    page = parse(await exchange(instance.gateway.http_port, request("GET", answer.headers["location"])))
    assert page.status == 200
    assert b"/docs/docs.js" in page.body
