"""Use-cases called below the doors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.orm import Session

from market.errors import Refusal
from store.database import SyncDatabase

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class UseCases:
    """Calls use-cases, each in a transaction of its own."""

    database: SyncDatabase

    def do(self, use_case: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self.database.transaction() as session:
            return use_case(session, *args, **kwargs)

    def refusal(
        self, use_case: Callable[Concatenate[Session, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> Refusal:
        """The refusal that must come."""
        try:
            answer = self.do(use_case, *args, **kwargs)
        except Refusal as refusal:
            return refusal
        raise AssertionError(f"not refused: {answer}")

    def refused(
        self, use_case: Callable[Concatenate[Session, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> str:
        """The code of the refusal that must come."""
        return self.refusal(use_case, *args, **kwargs).code
