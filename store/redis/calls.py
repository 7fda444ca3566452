"""What Redis is asked, as a value: the owner of a connection runs it, on asyncio or not (`store.redis.clients`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from redis.client import Pipeline

from store.redis.scripts import Script

T = TypeVar("T", covariant=True)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One run of a script: its keys and arguments, and how its reply is read."""

    script: Script
    keys: Sequence[str]
    args: Sequence[str | int]
    parse: Callable[[Any], T]

    def command(self) -> list[str | int]:
        """The call as a Redis command. Redis answers NOSCRIPT, and has done nothing, when it lacks the script."""
        return ["EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.args]


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """Plain commands in one round trip: `ask` puts them into a pipeline of redis-py, and `parse` reads their replies.
    They are no transaction. Without `strict` an error of one command is its reply."""

    ask: Callable[[Pipeline], object]
    parse: Callable[[list[Any]], T]
    strict: bool = True


def nothing(_replies: list[Any]) -> None:
    """Reads the replies of commands that have nothing to say."""
