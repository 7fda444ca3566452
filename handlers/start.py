"""What a process needs to serve the REST door: the routes, and the services that their handlers work with."""

from collections.abc import Collection, Mapping

from handlers.http import openapi
from handlers.http.base import Services
from handlers.http.media import MediaThreads
from handlers.http.tokens import AccessTokens
from handlers.routes import ROUTES
from market.accounts.sessions import Lifetime
from store.database import Database
from store.media.interface import Media
from store.redis.clients import Hot
from store.vault import Vault

__all__ = ["ROUTES", "make_services"]


def make_services(
    *,
    database: Database,
    hot: Hot,
    media: Media,
    development: bool,
    token_keys: Mapping[str, bytes],
    secret_keys: Mapping[str, bytes],
    handover_keys: Collection[bytes],
    unsubscribe_key: bytes,
    trace_key: bytes,
    push_key: str,
    session_lifetime: Lifetime,
    verify_email: bool,
    allowed_origins: Collection[str],
    quota_factor: int,
    asyncapi: bytes,
) -> Services:
    """What the application of `ROUTES` has as its setting `services`.

    Of several keys the first is for what is new, the others for what is still around. `push_key` is the public one.
    `asyncapi` is the document of the live door, which this one serves beside its own.
    """
    return Services(
        database=database,
        hot=hot,
        development=development,
        tokens=AccessTokens(dict(token_keys)),
        vault=Vault(dict(secret_keys)),
        session_lifetime=session_lifetime,
        verify_email=verify_email,
        allowed_origins=frozenset(allowed_origins),
        media=MediaThreads(media),
        handover_keys=list(handover_keys),
        unsubscribe_key=unsubscribe_key,
        push_key=push_key,
        openapi=openapi.document(ROUTES),
        asyncapi=asyncapi,
        quota_factor=quota_factor,
        trace_key=trace_key,
    )
