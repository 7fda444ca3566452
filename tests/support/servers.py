"""Servers that our tasks talk to: one that takes e-mails, one that takes Web Push, and a certificate for both."""

import email
import email.policy
import json
import socket
import ssl
import struct
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

USER, PASSWORD = "neighborbid", "s3cret-of-smtp"

StartServer = Callable[..., int]


@dataclass
class Mailbox:
    """What a server has accepted. It refuses recipients in `refused` with the code `refusal`, and with what a hostile
    server might say; `goodbye` is its answer to QUIT."""

    received: list[EmailMessage] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    refusal: int = 450
    goodbye: str = "221 Bye"
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, _server: object, _session: object, envelope: Envelope, address: str, _options: object
    ) -> str:
        if address in self.refused:
            return f"{self.refusal} no such user {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        return "250 OK"

    async def handle_QUIT(self, _server: object, _session: object, _envelope: Envelope) -> str:  # noqa: N802
        return self.goodbye

    def authenticate(self, *args: Any) -> AuthResult:
        credentials = args[4]
        assert isinstance(credentials, LoginPassword)
        self.logins.append((credentials.login, credentials.password))
        return AuthResult(success=credentials.password == PASSWORD.encode(), handled=False)


@dataclass(frozen=True)
class Certificate:
    """For localhost, signed by itself."""

    certificate: Path
    context: ssl.SSLContext


def unbase64url(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def derive(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(secret)


@dataclass(frozen=True)
class Browser:
    """Has subscribed at a push service, for the application with the key `application` (base64url)."""

    endpoint: str
    application: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = b"sixteen bytes of"

    @property
    def p256dh(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def read(self, body: bytes) -> bytes:
        """What an encrypted body says (RFC 8188, RFC 8291)."""
        salt, (size, length) = body[:16], struct.unpack("!IB", body[16:21])
        point, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(body) <= size == 4096
        sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        info = b"WebPush: info\0" + self.p256dh + point
        secret = derive(self.key.exchange(ec.ECDH(), sender), self.auth, info, 32)
        key = derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
        nonce = derive(secret, salt, b"Content-Encoding: nonce\0", 12)
        padded = AESGCM(key).decrypt(nonce, sealed, None)
        assert padded.endswith(b"\x02"), "the last record, without padding"
        return padded[:-1]


@dataclass(frozen=True)
class Pushed:
    """A message that a service has accepted, as its browser reads it."""

    browser: Browser
    text: bytes
    headers: dict[str, str]
    claims: dict[str, Any]

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@dataclass
class PushService:
    """Takes messages for its browsers and checks their signatures (RFC 8292). `answers` are what it says instead of
    201: status and headers, by the path of the endpoint."""

    tls: ssl.SSLContext | None = None
    received: list[Pushed] = field(default_factory=list)
    answers: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    requests: int = 0
    browsers: dict[str, Browser] = field(default_factory=dict)

    def start(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = service.take(self.path, dict(self.headers), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def origin(self) -> str:
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://localhost:{self.server.server_address[1]}"

    def subscribe(self, application: str) -> Browser:
        path = f"/push/{uuid4().hex}"
        self.browsers[path] = Browser(self.origin + path, application)
        return self.browsers[path]

    def answer(self, browser: Browser, status: int, **headers: str) -> None:
        """What to say to messages for this browser from now on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[browser.endpoint.removeprefix(self.origin)] = (status, named)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        self.requests += 1
        if path in self.answers:
            return self.answers[path]
        browser = self.browsers[path]
        scheme, _, parameters = headers["Authorization"].partition(" ")
        assert scheme == "vapid"
        given = dict(part.strip().split("=", 1) for part in parameters.split(","))
        if given["k"] != browser.application:
            return 403, {}
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), unbase64url(given["k"]))
        claims = jwt.decode(given["t"], key, algorithms=["ES256"], audience=self.origin)
        assert headers["Content-Encoding"] == "aes128gcm"
        assert int(headers["Ttl"]) > 0
        self.received.append(Pushed(browser, browser.read(body), headers, claims))
        return 201, {"Location": f"{self.origin}/receipt"}


def drip(server: socket.socket, stop: threading.Event) -> None:
    """Answer the first connection with a byte now and then, and never to the end."""
    connection, _ = server.accept()
    with connection:
        while not stop.wait(0.05):
            try:
                connection.sendall(b"H")
            except OSError:
                return
