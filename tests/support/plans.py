"""How PostgreSQL plans the statements of a session."""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session


class Plans:
    """Lets PostgreSQL explain each statement on its way."""

    def __init__(self, session: Session) -> None:
        self._connection = session.connection()
        self.plans: list[dict[str, Any]] = []

    def __enter__(self) -> "Plans":
        event.listen(self._connection, "before_cursor_execute", self._explain)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._connection, "before_cursor_execute", self._explain)

    def _explain(
        self, _connection: Connection, cursor: Any, statement: str, parameters: Any, *_: object
    ) -> None:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        [(found,)] = cursor.fetchall()
        plan = found if isinstance(found, list) else json.loads(found)
        self.plans.append(plan[0]["Plan"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)
