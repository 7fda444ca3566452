"""What only the REST door refuses."""

from http import HTTPStatus

from market.errors import RefusalCode


class HttpRefusal(RefusalCode):
    """What the REST door refuses before or beside any use-case."""

    BAD_REQUEST = "bad_request", HTTPStatus.BAD_REQUEST, "We could not understand this request."
    INVALID_JSON = "invalid_json", HTTPStatus.BAD_REQUEST, "The body is not valid JSON."
    INVALID_IDEMPOTENCY_KEY = (
        "invalid_idempotency_key",
        HTTPStatus.BAD_REQUEST,
        "An Idempotency-Key must be 1 to 255 visible ASCII characters.",
    )
    FOREIGN_PAGE = (
        "foreign_page",
        HTTPStatus.FORBIDDEN,
        "This request did not come from our own page. Reload the page and try again.",
    )
    NOT_AVAILABLE = "not_available", HTTPStatus.NOT_FOUND, "This is not offered here."
    METHOD_NOT_ALLOWED = (
        "method_not_allowed",
        HTTPStatus.METHOD_NOT_ALLOWED,
        "This address does not offer this method.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "Send the body as application/json.",
    )
    INVALID_BODY = (
        "invalid_body",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "Some of the fields are not valid. Correct them and try again.",
    )
    PRECONDITION_REQUIRED = (
        "precondition_required",
        HTTPStatus.PRECONDITION_REQUIRED,
        "Send the ETag of the version you are editing as `If-Match`, with its quotes.",
    )
    RATE_LIMITED = (
        "rate_limited",
        HTTPStatus.TOO_MANY_REQUESTS,
        "You are sending too many requests. Wait a moment and try again.",
    )
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE, "We are very busy at the moment. Try again shortly."
