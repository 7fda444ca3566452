"""Users of the API by an ordinary HTTP client."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class User:
    """Somebody who is logged in."""

    id: UUID
    token: str


People = Callable[..., User]
