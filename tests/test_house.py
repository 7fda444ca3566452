"""How the tests themselves are laid out."""

import ast
import re
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
