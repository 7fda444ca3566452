"""docs/api.md, the routes and the codes of the use-cases say the same."""

import ast
import re
from http import HTTPStatus
from pathlib import Path

from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation_of
from handlers.http.problems import STATUS
from handlers.listings import categories
from handlers.places.regions import CODE_PATTERN
from handlers.routes import ROUTES
from store.models import Role

REPO = Path(__file__).parents[3]
DOCS = (REPO / "docs" / "api.md").read_text()

USE_CASES = [
    "accounts",
    "adjustments",
    "auctions",
    "audit",
    "blocks",
    "cancelling",
    "cases",
    "categories",
    "chats",
    "confirmations",
    "deletion",
    "deliveries",
    "editing",
    "factors",
    "figures",
    "handovers",
    "idempotency",
    "ledger",
    "listings",
    "members",
    "moderation",
    "neighbourhoods",
    "notifications",
    "orders",
    "outages",
    "paddles",
    "pages",
    "photos",
    "platform",
    "push_subscriptions",
    "questions",
    "regions",
    "reports",
    "reviews",
    "sanctions",
    "search",
    "sessions",
    "signals",
    "unsubscribing",
    "wallet",
    "watches",
    "words",
]
"""The modules of `market` that handlers call, directly or not."""

IMPOSSIBLE = {"unknown_hold", "hold_exceeded"}
"""Refusals that no request can cause: they would be faults of ours, so clients get `internal_error`."""


def refusals(path: Path) -> set[str]:
    """The codes of the refusals that a module raises."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Refusal"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def address(pattern: str) -> str:
    """A route as the document writes it."""
    for part, name in ((UUID_PATTERN, "{id}"), (CODE_PATTERN, "{code}"), (categories.CODE_PATTERN, "{code}")):
        pattern = pattern.replace(part, name)
    return pattern


def test_every_endpoint_is_documented_and_nothing_else() -> None:
    offered = {
        f"{method} {address(pattern)}"
        for pattern, handler in ROUTES
        for method in handler.methods()
        if method not in ("HEAD", "OPTIONS")
    }
    assert offered == set(re.findall(r"^\| `([A-Z]+ /\S+)` \|", DOCS, re.MULTILINE))


def test_every_private_endpoint_is_documented_as_private() -> None:
    for pattern, handler in ROUTES[:-1]:
        path = re.escape(address(pattern))
        for method, who in re.findall(rf"^\| `([A-Z]+) {path}` \| ([^|]+) \|", DOCS, re.MULTILINE):
            assert who.startswith("private") is not handler.is_public(method), (method, pattern)


def test_the_role_that_an_endpoint_wants_is_documented() -> None:
    documented = dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| private, (moderator|admin)\b", DOCS, re.MULTILINE))
    assert documented == {
        f"{method} {address(pattern)}": operation.role
        for pattern, handler in ROUTES
        for method in handler.methods()
        if (operation := operation_of(handler, method)) and operation.role != Role.USER
    }


def test_every_code_is_documented_with_its_status() -> None:
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", DOCS, re.MULTILINE))
    assert {code: HTTPStatus(int(status)) for code, status in documented.items()} == STATUS


def test_every_refusal_of_a_use_case_has_a_status() -> None:
    raised = set().union(*(refusals(REPO / "market" / f"{name}.py") for name in USE_CASES))
    assert raised >= {"email_verified", "insufficient_funds", "invalid_auction"}
    assert raised - IMPOSSIBLE <= set(STATUS)


def test_every_status_is_of_use() -> None:
    raised = set().union(*(refusals(REPO / "market" / f"{name}.py") for name in USE_CASES))
    used = "".join(path.read_text() for path in (REPO / "handlers").rglob("*.py") if path.stem != "problems")
    made_in_problems = {"bad_request", "method_not_allowed", "unavailable", "internal_error"}
    assert {code for code in STATUS if f'"{code}"' not in used} <= raised | made_in_problems
