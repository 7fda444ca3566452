"""What every REST handler needs: its services, a request id, authentication, typed bodies, problem documents.

A handler parses (typed struct), makes one call into `market` and responds (typed struct). It is private unless it
declares itself `public`.
"""

import os
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import msgspec
import structlog
from sqlalchemy.orm import Session
from tornado.web import HTTPError, RequestHandler

from handlers.http import idempotency, limits, problems
from handlers.http.media import MediaThreads
from handlers.http.parsing import IF_MATCH, convert, decode_object
from handlers.http.passwords import Passwords
from handlers.http.refusals import HttpRefusal
from handlers.http.tokens import TOKEN, AccessTokens
from market.accounts import sessions
from market.accounts.sessions import Lifetime, Principal
from market.errors import GeneralRefusal, Refusal
from market.idempotency import once
from store.database import Database
from store.effects import Decision
from store.redis.clients import Hot
from store.vault import Vault

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=msgspec.Struct)

UUID_PATTERN = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
"""An id in a route. Other spellings of it are no address of ours."""

RETRY_AFTER_S = 1

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_BEARER = re.compile(rf"Bearer ({TOKEN})", re.IGNORECASE)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What the process hands to its handlers, as the setting `services` of the application."""

    database: Database
    hot: Hot
    development: bool
    tokens: AccessTokens
    vault: Vault
    session_lifetime: Lifetime
    media: MediaThreads
    handover_keys: Sequence[bytes]
    """What the codes of handovers are made with: the first makes new ones, all are accepted."""
    unsubscribe_key: bytes
    """What the links in e-mails are signed with."""
    push_key: str
    """The public key that browsers subscribe to Web Push with."""
    openapi: bytes
    """The document of this door, and below that of the live one; both JSON."""
    asyncapi: bytes
    verify_email: bool = False
    """Whether new users must confirm their e-mail addresses."""
    allowed_origins: frozenset[str] = frozenset()
    passwords: Passwords = field(default_factory=Passwords)
    quota_factor: int = limits.DEVELOPMENT_FACTOR
    trace_key: bytes = field(default_factory=lambda: os.urandom(32))
    """What addresses and devices of log-ins are hashed with. All processes must have the same."""


class ApiHandler(RequestHandler):
    """The base of all handlers. Unless `public`, a method only runs for a logged-in `principal`."""

    public: ClassVar[bool] = False
    principal: Principal
    quota_headers: Mapping[str, str] = {}

    @property
    def services(self) -> Services:
        services: Services = self.settings["services"]
        return services

    @cached_property
    def request_id(self) -> str:
        """The gateway's name for this request, so that all logs agree; a new one without a gateway."""
        given = self.request.headers.get("X-Request-ID", "")
        return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex

    @classmethod
    def methods(cls) -> list[str]:
        """The HTTP methods that this handler offers."""
        own = [
            name
            for name in ("GET", "POST", "PUT", "PATCH", "DELETE")
            if getattr(cls, name.lower()) is not getattr(RequestHandler, name.lower())
        ]
        return [*own, *(["HEAD"] if "GET" in own else []), "OPTIONS"]

    @classmethod
    def is_public(cls, method: str) -> bool:
        """Whether guests may call `method` (upper case)."""
        return cls.public

    async def use(
        self, use_case: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`Database.use` of the process's database."""
        return await self.services.database.use(use_case, *args, **kwargs)

    async def decide(
        self, use_case: Callable[Concatenate[Session, P], R | Decision[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """`Database.decide` of the process's database."""
        return await self.services.database.decide(use_case, *args, **kwargs)

    async def use_once(
        self, use_case: Callable[Concatenate[Session, P], S], *args: P.args, **kwargs: P.kwargs
    ) -> S:
        """`use` for the effect of an idempotent operation: under an `Idempotency-Key` that was answered before, it
        raises `Replayed` instead."""
        claim = idempotency.claim_of(self.request, self.principal.user_id)
        if claim is None:
            return await self.use(use_case, *args, **kwargs)
        return await self.use(
            once, claim, self.get_status(), lambda session: use_case(session, *args, **kwargs)
        )

    async def viewer(self) -> Principal | None:
        """Who asks, or None for a guest. Raises Refusal `unauthenticated` for a bad or expired token."""
        header = self.request.headers.get("Authorization")
        if header is None:
            return None
        bearer = _BEARER.fullmatch(header)
        claims = self.services.tokens.read(bearer[1]) if bearer else None
        # The token alone would be good until it expires; the session may be revoked.
        principal = await self.use(sessions.authenticate, claims.sid, claims.sub) if claims else None
        if principal is None:
            raise Refusal(GeneralRefusal.UNAUTHENTICATED)
        return principal

    def parse_body(self, into: type[S]) -> S:
        """The JSON body as a struct; Refusal names every wrong field."""
        media_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refusal(HttpRefusal.UNSUPPORTED_MEDIA_TYPE)
        return convert(decode_object(self.request.body), into)

    def parse_query(self, into: type[S]) -> S:
        """The query as a struct; Refusal names every wrong parameter. Of a repeated one the last counts."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return convert(query, into, query=True)

    def edited_version(self) -> int:
        """The version that `If-Match` names. Raises Refusal `precondition_required` unless that is one of ours."""
        match = re.fullmatch(IF_MATCH, self.request.headers.get("If-Match", ""))
        if match is None:
            raise Refusal(HttpRefusal.PRECONDITION_REQUIRED)
        return int(match[1])

    async def prepare(self) -> None:
        structlog.contextvars.bind_contextvars(request_id=self.request_id)
        if self.request.method not in self.methods():
            raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)
        if self.request.method == "OPTIONS":
            return
        principal = None
        if not self.is_public(self.request.method):
            principal = await self.viewer()
            if principal is None:
                raise Refusal(GeneralRefusal.UNAUTHENTICATED)
            self.principal = principal
        await self._count(principal)

    async def _count(self, principal: Principal | None) -> None:
        """Refusal `rate_limited` once the account, or the guest's address, has used up its quota."""
        assert self.request.method is not None
        policy = limits.policy_of(self.request.method, self.request.path, self.services.quota_factor)
        account = None if principal is None else principal.user_id
        who = limits.who(account, self.request.remote_ip or "")
        standing = await limits.count(self.services.hot, policy, who)
        if standing is None:
            return
        self.quota_headers = limits.headers(policy, standing)
        if not standing.allowed:
            raise Refusal(
                HttpRefusal.RATE_LIMITED,
                retry_after_s=standing.retry_after_s,
            )
        self.set_default_headers()

    def head(self, *args: str) -> Awaitable[None] | None:
        return self.get(*args)  # Tornado leaves the body out

    def options(self, *_args: str) -> None:
        self.set_status(HTTPStatus.NO_CONTENT)
        self.set_header("Allow", ", ".join(self.methods()))

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Request-ID", self.request_id)
        for name, value in self.quota_headers.items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """No ETag but that of a version: nothing here may be stored by a cache."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else HTTPError(status_code)
        refusal = problems.refusal_of(error)
        status = refusal.code.status
        self.set_status(status)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        if status == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", "Bearer")
        elif status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self.methods()))
        elif status == HTTPStatus.TOO_MANY_REQUESTS:
            self.set_header("Retry-After", str(refusal.fields["retry_after_s"]))
        elif status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.set_header("Retry-After", str(RETRY_AFTER_S))
        document = problems.document(refusal, self.request.path, self.request_id)
        self.finish(msgspec.json.encode(document))

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        code = problems.refusal_of(value).code
        if code == GeneralRefusal.INTERNAL_ERROR:
            log.error("request_failed", path=self.request.path, exc_info=value)
        elif code == GeneralRefusal.UNAVAILABLE:
            log.warning("dependency_away", path=self.request.path, error=str(value))


class NotFoundHandler(ApiHandler):
    """Any address that does not exist."""

    async def prepare(self) -> None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
