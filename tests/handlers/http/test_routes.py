"""docs/api.md, the routes and the codes of the use-cases say the same."""

import re
from collections import Counter
from http import HTTPStatus
from pathlib import Path

from handlers.http.base import UUID_PATTERN
from handlers.http.operations import operation_of
from handlers.listings import categories
from handlers.places.regions import CODE_PATTERN
from handlers.routes import ROUTES
from market.bidding.refusals import OFFER_REFUSALS
from market.errors import GeneralRefusal
from market.rules import Code
from store.models import Role
from tests.support.refusals import ENUMS, STATUS

REPO = Path(__file__).parents[3]
DOCS = (REPO / "docs" / "api.md").read_text()


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


def test_a_code_stands_in_one_enum_only() -> None:
    assert not [
        code for code, count in Counter(str(code) for enum in ENUMS for code in enum).items() if count > 1
    ]


def test_every_code_is_of_use() -> None:
    sources = [path for name in ("market", "handlers") for path in (REPO / name).rglob("*.py")]
    text = "".join(path.read_text() for path in sources)
    assert not [
        code for enum in ENUMS for code in enum if not re.search(rf"\b{enum.__name__}\.{code.name}\b", text)
    ]


def test_the_text_of_a_refusal_is_one_sentence_or_two() -> None:
    texts = {str(code): code.detail for enum in ENUMS for code in enum}
    assert {
        code for code, text in texts.items() if not re.fullmatch(r"[A-Z][^.]+\.( [A-Z][^.]+\.)?", text)
    } == set()


def test_whatever_the_rules_refuse_has_its_name_in_the_api_too() -> None:
    assert set(OFFER_REFUSALS) == set(Code)
    others = {code: refusal for code, refusal in OFFER_REFUSALS.items() if str(code) != str(refusal)}
    assert others == {
        Code.UNKNOWN_AUCTION: GeneralRefusal.UNAVAILABLE,
        Code.REF_REUSED: GeneralRefusal.IDEMPOTENCY_KEY_REUSED,
        Code.STALE_EPOCH: GeneralRefusal.INTERNAL_ERROR,
    }
