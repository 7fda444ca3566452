"""Web Push: a message, encrypted for one browser (RFC 8291), to that browser's push service (RFC 8030), signed by us so
that the service knows whose it is (VAPID, RFC 8292).

The address of the service was chosen by a client. Nothing follows a redirect, and outside development no address of a
private network is connected to, whatever name stands for it.
"""

import asyncio
import os
import socket
import struct
import time
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from market.notifications.push_subscriptions import is_public

TIMEOUT_S = 5
"""For a message as a whole: a service that answers byte by byte keeps nobody for longer."""

TTL_S = 24 * 3600
"""How long a service keeps a message for a browser that is away, at most."""

TOKEN_S = 12 * 3600
"""How long a signature is good; services accept a day at most."""

MAX_BYTES = 3993
"""Of a message, so that it has 4096 when it is encrypted, which is what every service takes."""

RECORD_BYTES = 4096
SALT_BYTES = 16
MAX_ANSWER_BYTES = 64 * 1024
MAX_WAIT_S = 24 * 3600
AT_ONCE = 100
"""Messages that are on their way at the same time."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message for one browser. If that is away, the service keeps it for `ttl_s`, and of several of the same
    `topic` only the last."""

    endpoint: str
    p256dh: bytes
    auth: bytes
    text: bytes
    urgent: bool = False
    topic: str | None = None
    ttl_s: int = TTL_S


@dataclass(frozen=True, slots=True)
class Answer:
    """What a push service said. `status` is 0 when there was no answer; `error` says what was wrong."""

    status: int
    retry_after_s: int = 0
    error: str = ""

    @property
    def taken(self) -> bool:
        return 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """The browser has unsubscribed."""
        return self.status in (404, 410)


class PrivateAddress(OSError):
    """A name stands for an address of a private network."""


class _Resolver(Resolver):
    """Looks names up in the threads of `executor`, and unless `private_allowed` refuses those that lead into a private
    network. What it answers is connected to: no second look-up could lead elsewhere."""

    def initialize(self, executor: ThreadPoolExecutor, private_allowed: bool) -> None:
        self._executor = executor
        self._private_allowed = private_allowed

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        look_up = partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._executor, look_up)
        if not self._private_allowed and not all(is_public(str(address[0])) for *_, address in found):
            raise PrivateAddress
        return [(family, address) for family, *_, address in found]


@dataclass(frozen=True, slots=True)
class WebPush:
    """Sends signed by `key`; `contact` (mailto: or https:) is whom a service may ask about us."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    contact: str
    private_allowed: bool = False
    """Whether addresses of private networks, and http, are no matter."""
    trusted: Path | None = None
    """A file of certificates to trust instead of those of the system."""

    @property
    def public_key(self) -> str:
        """What browsers subscribe with: an uncompressed point in base64url."""
        return base64url(_point(self.key.public_key()))

    def send(self, messages: Sequence[Message]) -> list[Answer]:
        """Send messages at the same time, and wait for all answers, `TIMEOUT_S` at most for each `AT_ONCE` of them. A
        slow service takes one turn, and keeps nobody else waiting."""
        return asyncio.run(self._send_all(messages))

    async def _send_all(self, messages: Sequence[Message]) -> list[Answer]:
        executor = ThreadPoolExecutor(AT_ONCE)
        client = SimpleAsyncHTTPClient(
            force_instance=True,
            resolver=_Resolver(executor, self.private_allowed),
            max_clients=AT_ONCE,
            max_body_size=MAX_ANSWER_BYTES,
            max_header_size=MAX_ANSWER_BYTES,
        )
        # One that waits in the client's own queue would use up its time there.
        turns = asyncio.Semaphore(AT_ONCE)
        try:
            return await asyncio.gather(*(self._send(client, turns, message) for message in messages))
        finally:
            client.close()
            # Whose name servers never answer keeps a thread for a while, and nobody waiting.
            executor.shutdown(wait=False, cancel_futures=True)

    async def _send(
        self, client: SimpleAsyncHTTPClient, turns: asyncio.Semaphore, message: Message
    ) -> Answer:
        try:
            if not self.private_allowed and urlsplit(message.endpoint).scheme != "https":
                raise PrivateAddress
            async with turns:
                response = await client.fetch(self._request(message), raise_error=False)
            error = "" if response.code < 300 else str(response.code)
            return Answer(response.code, _retry_after_s(response), error)
        # Whatever is wrong with this one, the others must get their turn.
        except Exception as failure:
            return Answer(0, error=type(failure).__name__)

    def _request(self, message: Message) -> HTTPRequest:
        parts = urlsplit(message.endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(time.time()) + TOKEN_S,
            "sub": self.contact,
        }
        headers = {
            "Authorization": f"vapid t={jwt.encode(claims, self.key, 'ES256')}, k={self.public_key}",
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(message.ttl_s),
            "Urgency": "high" if message.urgent else "normal",
        }
        if message.topic is not None:
            headers["Topic"] = message.topic
        own, salt = ec.generate_private_key(ec.SECP256R1()), os.urandom(SALT_BYTES)
        return HTTPRequest(
            message.endpoint,
            method="POST",
            headers=headers,
            body=encrypt(message.text, message.p256dh, message.auth, own, salt),
            connect_timeout=TIMEOUT_S,
            request_timeout=TIMEOUT_S,
            follow_redirects=False,
            ca_certs=None if self.trusted is None else str(self.trusted),
        )


def encrypt(text: bytes, p256dh: bytes, auth: bytes, own: ec.EllipticCurvePrivateKey, salt: bytes) -> bytes:
    """One record of `aes128gcm` for the browser with the keys `p256dh` and `auth`. `own` and `salt` are used once.

    Raises ValueError for more than `MAX_BYTES` of text, or a `p256dh` that is no key.
    """
    if len(text) > MAX_BYTES:
        raise ValueError("too long")
    browser = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    point = _point(own.public_key())
    secret = _derive(own.exchange(ec.ECDH(), browser), auth, b"WebPush: info\0" + p256dh + point, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    # The 2 says that this is the last record.
    sealed = AESGCM(key).encrypt(nonce, text + b"\x02", None)
    return salt + struct.pack("!IB", RECORD_BYTES, len(point)) + point + sealed


def _derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(data: bytes) -> str:
    """Without padding, as all of Web Push has it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _retry_after_s(response: HTTPResponse) -> int:
    """How long the service wants to be left alone: a number of seconds, or a date."""
    text = response.headers.get("Retry-After", "")
    try:
        wait_s = int(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0
    return max(0, min(int(wait_s), MAX_WAIT_S))
