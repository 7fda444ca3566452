"""How the tests themselves are laid out."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FORBIDDEN = re.compile(r"(tests)?\.(.*\.)?(test_\w+|conftest)\b")


def imported(source: str) -> Iterator[str]:
    """The modules and names that `source` imports, dotted; a relative one begins with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_what_modules_of_tests_share_stands_in_support(path: Path) -> None:
    assert [name for name in imported(path.read_text()) if FORBIDDEN.match(name)] == []


@pytest.mark.parametrize(
    "line",
    [
        "from tests.store.test_media import send_form",
        "from tests.store import test_media",
        "import tests.store.conftest",
        "from tests import conftest",
        "from .test_media import send_form",
        "from . import conftest",
    ],
)
def test_an_import_of_another_test_is_noticed(line: str) -> None:
    assert any(FORBIDDEN.match(name) for name in imported(line))


def classes(*packages: str) -> Iterator[tuple[str, str]]:
    """Every class at the top of a module, with the path of that."""
    for path in (path for package in packages for path in (TESTS.parent / package).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, str(path.relative_to(TESTS.parent))


def test_no_two_classes_of_market_and_store_have_one_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, path in classes("market", "store"):
        places[name].append(path)
    assert len(places) > 200
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
