"""The header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07)."""

import re
from hashlib import sha256
from uuid import UUID

from tornado.httputil import HTTPServerRequest

from handlers.http.refusals import HttpRefusal
from market.errors import Refusal
from market.idempotency import IdempotencyClaim

HEADER = "Idempotency-Key"
PATTERN = r'"?[!#-\[\]-~]{1,255}"?'
"""A string of visible ASCII. The draft wants quotes around it; they make no difference here."""


def claim_of(request: HTTPServerRequest, user_id: UUID) -> IdempotencyClaim | None:
    """The request as its user names it, or None without a key. Raises Refusal `invalid_idempotency_key`."""
    header = request.headers.get(HEADER)
    if header is None:
        return None
    if not re.fullmatch(PATTERN, header):
        raise Refusal(HttpRefusal.INVALID_IDEMPOTENCY_KEY)
    content = f"{request.method} {request.path}\n".encode() + request.body
    return IdempotencyClaim(user_id, header.strip('"'), sha256(content).digest())
