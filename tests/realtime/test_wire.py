"""What the one connection used by hand is made of."""

import tomllib
from pathlib import Path

import redis

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_redis_py_is_pinned_to_the_minor_version_whose_internals_a_wire_uses() -> None:
    major, minor = map(int, redis.__version__.split(".")[:2])
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    assert [text for text in dependencies if text.startswith("redis[")] == [
        f"redis[hiredis]>={major}.{minor},<{major}.{minor + 1}"
    ]
