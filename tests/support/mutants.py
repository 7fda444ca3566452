"""Changed copies of a Lua script, each with one small fault: to prove that the tests would notice it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s+ | '(?:\\.|[^'\\])*' | [A-Za-z_][\w.]* | \d+ | \.\.\. | \.\. | [<>=~]= | .""", re.VERBOSE
)

_REPLACEMENTS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("~=",),
    "~=": ("==",),
    "+": ("-",),
    "*": ("/",),
    "/": ("*",),
    "and": ("or",),
    "or": ("and",),
    "not": ("",),
    "true": ("false",),
    "false": ("true",),
    "math.min": ("math.max",),
    "math.max": ("math.min",),
    "math.floor": ("math.ceil",),
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A script's `text` with one fault. `line` is the whole line concerned, `fault` says what became of it."""

    line: str
    fault: str
    text: str


def mutants_of(text: str) -> Iterator[Mutant]:
    """Every fault that we know how to make. Some do not compile."""
    text = re.sub(r"(?m)^\s*--.*\n", "", text)
    yield from _without_a_statement(text)
    yield from _with_a_fixed_condition(text)
    yield from _with_another_token(text)
    yield from _with_swapped_neighbours(text)


def _without_a_statement(text: str) -> Iterator[Mutant]:
    """Deletes each statement with its continuation lines, each block, and each branch of a block."""
    lines = text.split("\n")
    for first, line in enumerate(lines):
        if not line.strip():
            continue
        ends = {first + 1}
        last = first + 1
        while last < len(lines) and _indent(lines[last]) > _indent(line):
            last += 1
        ends.add(last)
        while last < len(lines) and re.match(r"\s*(else|elseif|end)\b", lines[last]):
            last += 1
            while last < len(lines) and _indent(lines[last]) > _indent(line):
                last += 1
            ends.add(last)
        for end in sorted(ends):
            yield Mutant(line.strip(), f"{end - first} lines deleted", "\n".join(lines[:first] + lines[end:]))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip()) if line.strip() else 0


def _with_a_fixed_condition(text: str) -> Iterator[Mutant]:
    for match in re.finditer(r"\bif (.+) then", text):
        for fixed in ("true", "false"):
            yield _mutant(text, match.start(1), match.end(1), fixed)


def _with_another_token(text: str) -> Iterator[Mutant]:
    before = ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token.isspace():
            continue
        others = _REPLACEMENTS.get(token, ())
        if token == "-":
            others = ("",) if before in ("(", ",", "=") else ("+",)
        elif token.startswith("'"):
            others = (token[:-1] + "x'",)
        elif token.isdigit():
            others = (str(int(token) + 1), str(int(token) - 1))
        for other in others:
            yield _mutant(text, match.start(), match.end(), other)
        before = token


def _with_swapped_neighbours(text: str) -> Iterator[Mutant]:
    item = r"(?:'[^'\n]*'|[A-Za-z_]\w*(?:\[\d+\])?)"
    for match in re.finditer(rf"(?<!math\.m..\()(?<![\w.'])(?=({item}),(\s+)({item})\s*[,)=\n])", text):
        yield _mutant(text, match.start(), match.end(3), f"{match[3]},{match[2]}{match[1]}")


def _mutant(text: str, start: int, end: int, new: str) -> Mutant:
    line_start = text.rfind("\n", 0, start) + 1
    line_end = text.index("\n", end)
    line = text[line_start:line_end].strip()
    return Mutant(line, f"{text[start:end]} -> {new}", text[:start] + new + text[end:])
