"""Bodies and queries of requests: the types that several share, and the check that names every wrong field."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from handlers.http.refusals import HttpRefusal
from market.errors import GeneralRefusal, Refusal, RefusalCode
from market.fields import EMAIL, ONE_LINE, PROSE, Amount
from market.money.refusals import MoneyRefusal

S = TypeVar("S", bound=msgspec.Struct)

Code = Annotated[str, msgspec.Meta(max_length=32)]
"""Of the second factor: of the app, or a recovery code. Blanks, hyphens and case do not matter."""

IF_MATCH = r'(?:W/)?"([0-9]{1,18})"'
"""A version of ours as `If-Match` names it. The gateway puts W/ before the ETag of an answer that it compresses."""

IN_WORDS = {
    EMAIL: "an e-mail address in ASCII",
    ONE_LINE: "one line of text that is not blank",
    PROSE: "text without control characters",
}
"""What people do not read as a pattern."""

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
"""How many items a page holds at most."""

Cursor = Annotated[str, msgspec.Meta(max_length=512, pattern=r"\A[!-~]+\Z")]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends. A field that is not declared is an error."""


class Edit(Body, frozen=True, kw_only=True):
    """New values for some of the fields, each `T | UnsetType = UNSET`. What is left out stays as it is."""

    def changes(self) -> dict[str, Any]:
        """What is to change. Raises Refusal `invalid_body` if that is nothing."""
        changes = {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not msgspec.UNSET
        }
        if not changes:
            raise Refusal(
                HttpRefusal.INVALID_BODY, "There is nothing to change. Name at least one field.", errors=[]
            )
        return changes


class Addressed(msgspec.Struct, frozen=True):
    """An e-mail is sent to this address, if one is due to it."""

    email: str


class PageQuery(Body, frozen=True, kw_only=True):
    """Which page of a list. `cursor` comes from the page before."""

    cursor: Cursor | None = None
    limit: Limit = 20


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises Refusal `invalid_json`, or `invalid_body` for any other JSON value."""
    try:
        value = msgspec.json.decode(body)
    # Bad UTF-8 and absurdly deep nesting are no DecodeErrors.
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(HttpRefusal.INVALID_JSON) from None
    if not isinstance(value, dict):
        raise Refusal(HttpRefusal.INVALID_BODY, "The body must be a JSON object.", errors=[])
    return value


def convert(values: Mapping[str, Any], into: type[S], *, query: bool = False) -> S:
    """`values` as a struct. Those of a query are text, also where a number is meant.

    Raises Refusal `invalid_body` or `invalid_query`, or `invalid_amount` if only amounts are wrong; its `errors` name
    every wrong field.
    """
    try:
        return msgspec.convert(values, into, strict=not query)
    except msgspec.ValidationError:
        errors = _wrong_fields(values, into, strict=not query)
    amounts = {field.encode_name for field in msgspec.structs.fields(into) if field.type == Amount}
    if all(error["field"] in amounts for error in errors):
        code: RefusalCode = MoneyRefusal.INVALID_AMOUNT
    else:
        code = GeneralRefusal.INVALID_QUERY if query else HttpRefusal.INVALID_BODY
    raise Refusal(code, "; ".join(f"{error['field']}: {error['detail']}" for error in errors), errors=errors)


def _wrong_fields(values: Mapping[str, Any], into: type[S], strict: bool) -> list[dict[str, str]]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(into)}
    details = {name: "unknown field" for name in values if name not in fields}
    for name, field in fields.items():
        if name not in values:
            if field.required:
                details[name] = "missing"
            continue
        try:
            msgspec.convert(values[name], field.type, strict=strict)
        except msgspec.ValidationError as error:
            details[name] = _in_words(str(error))
    return [{"field": name, "detail": detail} for name, detail in details.items()]


def _in_words(problem: str) -> str:
    for pattern, words in IN_WORDS.items():
        problem = problem.replace(f"`str` matching regex {pattern!r}", words)
    return problem
