"""Whatever the documents name in the repository is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
DOCUMENTS = sorted([*REPO.glob("*.md"), *(REPO / "docs").rglob("*.md")])
NAMES = {path.name for path in REPO.iterdir()} - {"var", ".venv"}
CODE = ("server", "handlers", "realtime", "tasks", "market", "store")
SUFFIXES = {".conf", ".csv", ".env", ".html", ".js", ".lock", ".lua", ".md", ".py", ".sh", ".toml", ".yaml"}
"""What ends like this is a file, wherever it is said to be."""


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def paths(text: str) -> Iterator[str]:
    """The code spans that name a file or folder of the repository."""
    for span in re.findall(r"`([^`\n]+)`", text):
        path = span.partition("::")[0].partition("#")[0]
        if not re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", path) or path.startswith("var/"):
            continue
        first = path.partition("/")[0]
        if ("/" in path and first in NAMES) or Path(path).suffix in SUFFIXES:
            yield path


def exists(path: str) -> bool:
    """Whether a path from the root of the repository, or the bare name of a file, is that of something there."""
    return any(REPO.glob(path.rstrip("/"))) or (
        "/" not in path and any(any((REPO / name).rglob(path)) for name in NAMES if not name.startswith("."))
    )


def anchors(document: Path) -> set[str]:
    """What a link into a document may have behind its #: its headings, as the usual viewers of Markdown name them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    assert [path for path in paths(prose(document)) if not exists(path)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_what_a_document_says_is_in_a_module_is_there(document: Path) -> None:
    said = re.findall(r"`(\w+)`\s+(?:in|of)\s+`([\w/]+\.py)`", prose(document))
    assert [(name, path) for name, path in said if name not in (REPO / path).read_text()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPO)))
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^()\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_log_event_that_operators_are_told_of_exists() -> None:
    alarms = (REPO / "docs" / "operations.md").read_text().partition("## Alarms")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", alarms, re.MULTILINE)
    events = {event for cell in cells for event in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell)}
    sources = [path for name in CODE for path in (REPO / name).rglob("*.py")]
    text = "".join(path.read_text() for path in sources)
    assert events
    assert {event for event in events if f'"{event}"' not in text and f"'{event}'" not in text} == set()


@pytest.mark.parametrize(
    ("span", "named"),
    [
        ("`market/no_such.py`", ["market/no_such.py"]),
        ("`docs/`", ["docs/"]),
        ("`tests/market/test_rules.py::test_it`", ["tests/market/test_rules.py"]),
        ("`no_such.lua`", ["no_such.lua"]),
        ("`image/webp` `var/mail/` `/api/v1/me` `market/<noun>/refusals.py` `./neighborbid up`", []),
    ],
)
def test_what_is_a_path_is_told_from_other_code(span: str, named: list[str]) -> None:
    assert list(paths(span)) == named
