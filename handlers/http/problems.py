"""Problem documents (RFC 9457): what the REST door answers instead of what was asked for.

`STATUS` is the one table of codes; docs/api.md explains them, and tests hold both and `market` together.
"""

from http import HTTPStatus
from typing import Any

from tornado.web import HTTPError

from market.errors import Refusal
from store.errors import AWAY

CONTENT_TYPE = "application/problem+json"

STATUS: dict[str, HTTPStatus] = {
    "bad_request": HTTPStatus.BAD_REQUEST,
    "invalid_json": HTTPStatus.BAD_REQUEST,
    "invalid_idempotency_key": HTTPStatus.BAD_REQUEST,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "invalid_credentials": HTTPStatus.UNAUTHORIZED,
    "second_factor_required": HTTPStatus.UNAUTHORIZED,
    "invalid_code": HTTPStatus.UNAUTHORIZED,
    "invalid_refresh_token": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "foreign_page": HTTPStatus.FORBIDDEN,
    "banned": HTTPStatus.FORBIDDEN,
    "suspended": HTTPStatus.FORBIDDEN,
    "email_not_verified": HTTPStatus.FORBIDDEN,
    "own_auction": HTTPStatus.FORBIDDEN,
    "own_proposal": HTTPStatus.FORBIDDEN,
    "blocked": HTTPStatus.FORBIDDEN,
    "not_a_neighbour": HTTPStatus.FORBIDDEN,
    "invalid_signature": HTTPStatus.FORBIDDEN,
    "upload_expired": HTTPStatus.FORBIDDEN,
    "not_available": HTTPStatus.NOT_FOUND,
    "not_found": HTTPStatus.NOT_FOUND,
    "no_paddle": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "email_verified": HTTPStatus.CONFLICT,
    "last_admin": HTTPStatus.CONFLICT,
    "second_factor_on": HTTPStatus.CONFLICT,
    "second_factor_off": HTTPStatus.CONFLICT,
    "wrong_state": HTTPStatus.CONFLICT,
    "switched_off": HTTPStatus.CONFLICT,
    "wrong_kind": HTTPStatus.CONFLICT,
    "not_open": HTTPStatus.CONFLICT,
    "over_limit": HTTPStatus.CONFLICT,
    "not_above_own_maximum": HTTPStatus.CONFLICT,
    "below_minimum": HTTPStatus.CONFLICT,
    "no_buy_now": HTTPStatus.CONFLICT,
    "cancelled": HTTPStatus.CONFLICT,
    "closed": HTTPStatus.CONFLICT,
    "has_bids": HTTPStatus.CONFLICT,
    "paddle_taken": HTTPStatus.CONFLICT,
    "paddle_returning": HTTPStatus.CONFLICT,
    "paddle_leading": HTTPStatus.CONFLICT,
    "paddle_changed": HTTPStatus.CONFLICT,
    "limit_not_raised": HTTPStatus.CONFLICT,
    "insufficient_funds": HTTPStatus.CONFLICT,
    "balance_too_large": HTTPStatus.CONFLICT,
    "transfer_conflict": HTTPStatus.CONFLICT,
    "hold_resolved": HTTPStatus.CONFLICT,
    "too_many_photos": HTTPStatus.CONFLICT,
    "photo_quota": HTTPStatus.CONFLICT,
    "not_uploaded": HTTPStatus.CONFLICT,
    "upload_closed": HTTPStatus.CONFLICT,
    "too_many_neighbourhoods": HTTPStatus.CONFLICT,
    "too_many_questions": HTTPStatus.CONFLICT,
    "too_many_watches": HTTPStatus.CONFLICT,
    "delivery_not_offered": HTTPStatus.CONFLICT,
    "stale_proposal": HTTPStatus.CONFLICT,
    "wrong_code": HTTPStatus.CONFLICT,
    "code_locked": HTTPStatus.CONFLICT,
    "too_many_tries": HTTPStatus.CONFLICT,
    "too_early": HTTPStatus.CONFLICT,
    "already_reviewed": HTTPStatus.CONFLICT,
    "review_closed": HTTPStatus.CONFLICT,
    "idempotency_key_reused": HTTPStatus.CONFLICT,
    "idempotency_in_flight": HTTPStatus.CONFLICT,
    "unsettled_business": HTTPStatus.CONFLICT,
    "balance_not_zero": HTTPStatus.CONFLICT,
    "precondition_failed": HTTPStatus.PRECONDITION_FAILED,
    "unsupported_media_type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "invalid_body": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_token": HTTPStatus.UNPROCESSABLE_ENTITY,
    "password_too_common": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_amount": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_query": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_cursor": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_auction": HTTPStatus.UNPROCESSABLE_ENTITY,
    "unsupported_image": HTTPStatus.UNPROCESSABLE_ENTITY,
    "image_too_large": HTTPStatus.UNPROCESSABLE_ENTITY,
    "wrong_size": HTTPStatus.UNPROCESSABLE_ENTITY,
    "wrong_photos": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_time": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_category": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_increments": HTTPStatus.UNPROCESSABLE_ENTITY,
    "position_too_vague": HTTPStatus.UNPROCESSABLE_ENTITY,
    "outside_regions": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_preferences": HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid_subscription": HTTPStatus.UNPROCESSABLE_ENTITY,
    "precondition_required": HTTPStatus.PRECONDITION_REQUIRED,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_attempts": HTTPStatus.TOO_MANY_REQUESTS,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}

_FROM_TORNADO = {
    HTTPStatus.BAD_REQUEST: Refusal("bad_request", "The request cannot be understood."),
    HTTPStatus.METHOD_NOT_ALLOWED: Refusal("method_not_allowed", "This address does not offer this method."),
}


def refusal_of(error: BaseException | None) -> Refusal:
    """What a client may know about `error`: nothing at all when nobody expected it."""
    if isinstance(error, Refusal) and error.code in STATUS:
        return error
    if isinstance(error, HTTPError) and error.status_code in _FROM_TORNADO:
        return _FROM_TORNADO[HTTPStatus(error.status_code)]
    if isinstance(error, AWAY):
        return Refusal(
            "unavailable", "A part of the service is away. Look whether it was done, then try again."
        )
    return Refusal("internal_error", "Something went wrong on our side. The request id helps us to find it.")


def document(refusal: Refusal, instance: str, request_id: str) -> dict[str, Any]:
    """The problem document of a refusal of the request `request_id` to the path `instance`."""
    return {
        **refusal.fields,
        "type": f"/problems/{refusal.code}",
        "title": refusal.code.replace("_", " ").capitalize(),
        "status": STATUS[refusal.code],
        "detail": refusal.detail,
        "code": refusal.code,
        "instance": instance,
        "request_id": request_id,
    }
