"""What a method of a handler takes and answers, said once: in its signature and in `@operation`.

The decorator parses what the signature asks for, answers what the method returns, and keeps both as an `Operation`,
from which `handlers.openapi` makes the document.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeVar, get_origin, get_type_hints
from uuid import UUID

import msgspec

from handlers.http.base import ApiHandler
from handlers.http.refusals import HttpRefusal
from market.errors import GeneralRefusal, Refusal, RefusalCode
from market.fields import Amount
from market.idempotency import Replayed
from market.money.refusals import MoneyRefusal
from store.models import Role

H = TypeVar("H", bound=ApiHandler)
P = ParamSpec("P")
R = TypeVar("R", bound=msgspec.Struct | msgspec.Raw | None)

ALWAYS: frozenset[RefusalCode] = frozenset(
    {
        HttpRefusal.BAD_REQUEST,
        HttpRefusal.RATE_LIMITED,
        GeneralRefusal.INTERNAL_ERROR,
        GeneralRefusal.UNAVAILABLE,
    }
)
"""Codes of the refusals that every operation may answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. `answer` is the type of the body of every status in `statuses`, None without one.

    `ids` are the names and types of the ids in the path, `refusals` the codes that its use-cases add to `ALWAYS` and to
    those that follow from what it takes.
    """

    ids: Mapping[str, Any]
    body: type[msgspec.Struct] | None
    query: type[msgspec.Struct] | None
    answer: Any
    statuses: tuple[HTTPStatus, ...]
    refusals: frozenset[RefusalCode]
    idempotent: bool
    """Whether it heeds an `Idempotency-Key`."""
    edits: bool
    """Whether it changes one version of something, which `If-Match` names."""

    file_types: tuple[str, ...] = ()
    """Media types of the file that it takes as its body."""
    role: Role = Role.USER
    """Who may call it, beside those whose role includes this one."""

    @property
    def versioned(self) -> bool:
        """Whether what it answers has a `version`, which is its `ETag`, too."""
        fields = getattr(get_origin(self.answer) or self.answer, "__struct_fields__", ())
        return "version" in fields

    def codes(self, public: bool) -> frozenset[RefusalCode]:
        """The codes of everything that it may refuse, unless a method or address is wrong."""
        codes = ALWAYS | self.refusals
        if not public:
            codes |= {GeneralRefusal.UNAUTHENTICATED}
        if self.role != Role.USER:
            codes |= {GeneralRefusal.FORBIDDEN}
        if self.ids:
            codes |= {GeneralRefusal.NOT_FOUND}
        if self.body is not None:
            codes |= {HttpRefusal.INVALID_JSON, HttpRefusal.INVALID_BODY, HttpRefusal.UNSUPPORTED_MEDIA_TYPE}
            if any(field.type == Amount for field in msgspec.structs.fields(self.body)):
                codes |= {MoneyRefusal.INVALID_AMOUNT}
        if self.query is not None:
            codes |= {GeneralRefusal.INVALID_QUERY}
        if self.idempotent:
            codes |= {
                HttpRefusal.INVALID_IDEMPOTENCY_KEY,
                GeneralRefusal.IDEMPOTENCY_KEY_REUSED,
                GeneralRefusal.IDEMPOTENCY_IN_FLIGHT,
            }
        if self.edits:
            codes |= {HttpRefusal.PRECONDITION_REQUIRED, GeneralRefusal.PRECONDITION_FAILED}
        return codes


class _Versioned(msgspec.Struct):
    version: int


class _Made(msgspec.Struct):
    id: UUID


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What serves an operation: the handler's `method` between the parsing of what it takes and the writing of what it
    answers. `found_at` is the address, without the id, of what its answer describes."""

    operation: Operation
    method: Callable[..., Awaitable[msgspec.Struct | msgspec.Raw | None]]
    found_at: str | None

    async def run(self, handler: ApiHandler, path: Sequence[str]) -> None:
        """Serve the request of `handler`, with the ids in its `path`. Refuses what the operation declares."""
        role = self.operation.role
        if role != Role.USER and not handler.principal.role.includes(role):
            raise Refusal(GeneralRefusal.FORBIDDEN, f"Only users with the role {role} can do this.")
        arguments = self._arguments(handler, path)
        handler.set_status(self.operation.statuses[0])
        try:
            answer = await self.method(handler, *arguments)
        except Replayed as replayed:
            handler.set_status(replayed.status)
            self._write(handler, replayed.body)
        else:
            self._write(handler, b"" if answer is None else msgspec.json.encode(answer))

    def _arguments(self, handler: ApiHandler, path: Sequence[str]) -> list[Any]:
        takes = self.operation
        arguments: list[Any] = [msgspec.convert(*part) for part in zip(path, takes.ids.values(), strict=True)]
        if takes.body is not None:
            arguments.append(handler.parse_body(takes.body))
        if takes.query is not None:
            arguments.append(handler.parse_query(takes.query))
        if takes.edits:
            arguments.append(handler.edited_version())
        return arguments

    def _write(self, handler: ApiHandler, answer: bytes) -> None:
        if self.operation.versioned:
            handler.set_header("ETag", f'"{msgspec.json.decode(answer, type=_Versioned).version}"')
        if self.found_at is not None:
            handler.set_header("Location", f"{self.found_at}/{msgspec.json.decode(answer, type=_Made).id}")
        if answer:
            handler.write(answer)


_operations: dict[Callable[..., Any], Operation] = {}


def operation(
    *refusals: RefusalCode,
    statuses: tuple[HTTPStatus, ...] = (HTTPStatus.OK,),
    idempotent: bool = False,
    edits: bool = False,
    file_types: tuple[str, ...] = (),
    role: Role = Role.USER,
    found_at: str | None = None,
) -> Callable[[Callable[Concatenate[H, P], Awaitable[R]]], Callable[..., Awaitable[None]]]:
    """Make a handler's method of a function whose signature says what it takes and answers.

    `body` and `query` are parsed as their types; `version`, the last parameter of what `edits`, is the one that
    `If-Match` names; every other parameter is an id in the path. The status is the first of `statuses`, unless the
    function sets another of them. An answer with a `version` has it as its `ETag`, too, and `Location` says where that
    with the answer's `id` is `found_at` (before the id). A user without the `role`, at this moment and not when
    the token was made, is refused with `forbidden` before anything is parsed.
    """

    def decorate(method: Callable[Concatenate[H, P], Awaitable[R]]) -> Callable[..., Awaitable[None]]:
        types = get_type_hints(method, include_extras=True)
        names = list(inspect.signature(method).parameters)[1:]
        body, query = types.get("body"), types.get("query")
        ids = {name: types[name] for name in names if name not in ("body", "query", "version")}

        declared = Operation(
            ids=ids,
            body=body,
            query=query,
            answer=None if types["return"] is type(None) else types["return"],
            statuses=statuses,
            refusals=frozenset(refusals),
            idempotent=idempotent,
            edits=edits,
            file_types=file_types,
            role=role,
        )
        endpoint = Endpoint(declared, method, found_at)

        @functools.wraps(method)
        async def run(self: H, *path: str) -> None:
            await endpoint.run(self, path)

        _operations[run] = declared
        return run

    return decorate


def operation_of(handler: type[ApiHandler], method: str) -> Operation | None:
    """What a method (upper case) of a handler is declared to be; None for one that is not declared."""
    return _operations.get(getattr(handler, method.lower()))
