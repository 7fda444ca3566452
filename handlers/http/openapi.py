"""The OpenAPI 3.1 document of the REST door, made from the routes and the types that the handlers themselves use."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from inspect import cleandoc
from typing import Any
from uuid import UUID

import msgspec

from handlers.http import idempotency, problems
from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import Operation, operation_of
from handlers.http.parsing import IF_MATCH
from market.errors import GeneralRefusal, RefusalCode
from market.fields import portable
from store.models import Role

Json = dict[str, Any]

DESCRIPTION = cleandoc("""
    Amounts are integers in minor units of the currency, times are milliseconds UTC. Refusals are problem documents
    (RFC 9457) whose `code` never changes its meaning.

    `HEAD` is there wherever `GET` is, and `OPTIONS` everywhere. Another method than the listed ones is answered 405
    `method_not_allowed`, an address that is none 404 `not_found`. The gateway refuses what is too large, too slow or
    too much (413, 414, 429, 431) and answers for processes that are away (502, 503, 504), with problem documents
    too.

    What wants a role names it beside `bearer`; an admin may do all that a moderator may.
""")
_REF = "#/components/schemas/{name}"
_PROBLEM: Json = {
    "type": "object",
    "description": "Why a request was refused. What belongs to the code stands beside these.",
    "properties": {
        "type": {"type": "string", "description": "`/problems/<code>`"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string"},
        "instance": {"type": "string", "description": "The path of the request."},
        "request_id": {"type": "string", "description": "Stands in our logs."},
        "errors": {
            "type": "array",
            "description": "Every wrong field of a body or query.",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["field", "detail"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "code", "instance", "request_id"],
}
_ETAG: Json = {
    "description": 'The version in quotes, such as "7". An edit sends it back as `If-Match`.',
    "required": True,
    "schema": {"type": "string", "pattern": f"^{IF_MATCH}$"},
}


class Undeclared(Exception):
    """A handler offers a method that has no `@operation`."""


def operations(
    routes: Sequence[tuple[str, type[ApiHandler]]],
) -> Iterator[tuple[str, str, type[ApiHandler], Operation]]:
    """Path template, method, handler and declaration of all that can be called. Raises `Undeclared`."""
    for pattern, handler in routes:
        for method in handler.methods():
            if method in ("HEAD", "OPTIONS"):
                continue
            operation = operation_of(handler, method)
            if operation is None:
                raise Undeclared(f"{method} {pattern}")
            path = pattern
            for name in operation.ids:
                path = re.sub(r"\([^()]*\)", f"{{{name}}}", path, count=1)
            yield path, method, handler, operation


def document(routes: Sequence[tuple[str, type[ApiHandler]]]) -> bytes:
    """The document, as JSON. Raises `Undeclared`."""
    declared = list(operations(routes))
    types = {
        type_
        for *_, operation in declared
        for type_ in (operation.body, operation.query, operation.answer)
        if type_ is not None
    }
    listed = sorted(types, key=str)
    made, components = msgspec.json.schema_components(listed, ref_template=_REF)
    schemas = dict(zip(listed, made, strict=True))
    paths: dict[str, Json] = defaultdict(dict)
    for path, method, handler, operation in declared:
        paths[path][method.lower()] = _operation(method, handler, operation, schemas, components)
    queries = {operation.query.__name__ for *_, operation in declared if operation.query is not None}
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "NeighborBid", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                "Problem": _PROBLEM,
                **{name: schema for name, schema in sorted(components.items()) if name not in queries},
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }
    return portable(msgspec.json.encode(whole))


def _operation(
    method: str, handler: type[ApiHandler], operation: Operation, schemas: dict[Any, Json], components: Json
) -> Json:
    name = handler.__name__.removesuffix("Handler")
    described: Json = {
        "operationId": f"{method.lower()}{name}",
        "tags": [handler.__module__.split(".")[1]],
        "summary": _summary(handler, method),
        "security": _security(handler, method, operation),
        "parameters": list(_parameters(operation, components)),
        "responses": _responses(handler, method, operation, schemas),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.file_types:
        file: Json = {"schema": {"type": "string", "format": "binary"}}
        described["requestBody"] = {"required": True, "content": dict.fromkeys(operation.file_types, file)}
    return described


def _summary(handler: type[ApiHandler], method: str) -> str:
    """What the handler's docstring says after the name of the method."""
    text = " ".join(cleandoc(handler.__doc__ or "").split())
    [summary] = re.findall(rf"\b{method}: (.+?)(?= [A-Z]+: |$)", text)
    return f"{summary[0].upper()}{summary[1:]}"


def _security(handler: type[ApiHandler], method: str, operation: Operation) -> list[Json]:
    if not handler.is_public(method):
        return [{"bearer": [] if operation.role == Role.USER else [operation.role]}]
    return [{}, {"bearer": []}] if GeneralRefusal.UNAUTHENTICATED in operation.refusals else []


def _parameters(operation: Operation, components: Json) -> Iterator[Json]:
    for name, type_ in operation.ids.items():
        schema: Json = msgspec.json.schema(type_)
        if type_ is UUID:
            # Like the route: other spellings of an id are no address of ours.
            schema["pattern"] = f"^{UUID_PATTERN}$"
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query is not None:
        described = components[operation.query.__name__]
        for name, schema in described["properties"].items():
            required = name in described["required"]
            yield {"name": name, "in": "query", "required": required, "schema": _without_null(schema)}
    if operation.idempotent:
        yield {
            "name": idempotency.HEADER,
            "in": "header",
            "required": False,
            "description": "Names this request: sent again within 24 h, it gets its first answer and no second effect.",
            "schema": {"type": "string", "pattern": f"^{idempotency.PATTERN}$"},
        }
    if operation.edits:
        yield {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "The ETag of what was read: the edit is refused if there is another version by now.",
            "schema": {"type": "string", "pattern": f"^{IF_MATCH}$"},
        }


def _without_null(schema: Json) -> Json:
    """A parameter that may be left out is never null."""
    choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
    return choices[0] if choices else schema


def _responses(
    handler: type[ApiHandler], method: str, operation: Operation, schemas: dict[Any, Json]
) -> Json:
    responses: Json = {}
    for status in operation.statuses:
        responses[str(status.value)] = {"description": status.phrase}
        if operation.answer is not None:
            content = {"application/json": {"schema": schemas[operation.answer]}}
            responses[str(status.value)]["content"] = content
        if operation.versioned:
            responses[str(status.value)]["headers"] = {"ETag": _ETAG}
    codes: dict[HTTPStatus, list[RefusalCode]] = defaultdict(list)
    for code in sorted(operation.codes(handler.is_public(method))):
        codes[code.status].append(code)
    for status, of_status in sorted(codes.items()):
        schema = {
            "allOf": [{"$ref": _REF.format(name="Problem")}, {"properties": {"code": {"enum": of_status}}}]
        }
        responses[str(status.value)] = {
            "description": ", ".join(f"`{code}`" for code in of_status),
            "content": {problems.CONTENT_TYPE: {"schema": schema}},
        }
    return responses
