"""Problem documents (RFC 9457): what the REST door answers instead of what was asked for.

Status and text of each code stand in the enums of refusals; docs/api.md explains them, and tests hold both together.
"""

from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError

from handlers.http.refusals import HttpRefusal
from market.errors import GeneralRefusal, Refusal
from store.errors import AWAY

CONTENT_TYPE = "application/problem+json"

_FROM_TORNADO = {
    HTTPStatus.BAD_REQUEST: Refusal(HttpRefusal.BAD_REQUEST),
    HTTPStatus.METHOD_NOT_ALLOWED: Refusal(HttpRefusal.METHOD_NOT_ALLOWED),
}


def refusal_of(error: BaseException | None) -> Refusal:
    """What a client may know about `error`: nothing at all when nobody expected it."""
    if isinstance(error, Refusal) and error.code.status != HTTPStatus.INTERNAL_SERVER_ERROR:
        return error
    if isinstance(error, HTTPError) and error.status_code in _FROM_TORNADO:
        return _FROM_TORNADO[HTTPStatus(error.status_code)]
    if isinstance(error, AWAY):
        return Refusal(GeneralRefusal.UNAVAILABLE)
    return Refusal(GeneralRefusal.INTERNAL_ERROR)


def document(refusal: Refusal, instance: str, request_id: str) -> dict[str, Any]:
    """The problem document of a refusal of the request `request_id` to the path `instance`."""
    return {
        **refusal.fields,
        "type": f"/problems/{refusal.code}",
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": refusal.code.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "instance": instance,
        "request_id": request_id,
    }
