"""The tasks' own Redis database, emptied before each test, and a stage to play on."""

import asyncio
import datetime
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tornado.testing import bind_unused_port

from realtime.background import stop_all
from store.database import SyncDatabase
from store.media.interface import Media
from store.redis.clients import SyncHot
from tasks.app import Resources, configure, start
from tasks.senders.smtp import Folder, PostOffice, Smtp
from tasks.senders.web_push import WebPush
from tests.support.servers import (
    Certificate,
    Mailbox,
    PushService,
    StartServer,
)
from tests.support.stage import Stage

START_TIMEOUT_S = 30


@pytest.fixture
def redis_url(redis_urls: tuple[str, str]) -> str:
    """These tests lose the hot state on purpose, so they do not share it."""
    return redis_urls[1]


@pytest.fixture
def mail_dir(tmp_path: Path) -> Path:
    """Where e-mails come to lie."""
    return tmp_path / "mail"


@pytest.fixture
def web_push() -> WebPush:
    """As in development: a service on this machine will do."""
    return WebPush(ec.generate_private_key(ec.SECP256R1()), "mailto:us@example.org", private_allowed=True)


@pytest.fixture
def resources(
    database_url: str,
    redis_url: str,
    media: Media,
    mail_dir: Path,
    web_push: WebPush,
) -> Iterator[Resources]:
    post = PostOffice(Folder(mail_dir), "from@example.org", "https://bid.example", b"a key of the tests")
    configure(
        database_url=database_url,
        redis_url=redis_url,
        broker_url=redis_url,
        media=media,
        post=post,
        web_push=web_push,
    )
    hot = SyncHot.connect(redis_url)
    hot.client.flushdb()
    database = SyncDatabase(database_url, hot, start)
    yield Resources(database, hot, media, post, web_push)
    database.dispose()
    hot.client.close()


@pytest.fixture
def stage(resources: Resources) -> Stage:
    return Stage(resources)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return Certificate(folder / "certificate.pem", context)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def start_server(mailbox: Mailbox) -> Iterator[StartServer]:
    """Starts a server for the mailbox, with options of aiosmtpd; its port. `tls` means TLS from the first byte."""
    loop = asyncio.new_event_loop()
    servers: list[asyncio.Server] = []
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def start(tls: ssl.SSLContext | None = None, **options: Any) -> int:
        listener, port = bind_unused_port()

        async def listen() -> None:
            servers.append(
                await loop.create_server(lambda: SMTP(mailbox, loop=loop, **options), sock=listener, ssl=tls)
            )

        asyncio.run_coroutine_threadsafe(listen(), loop).result(START_TIMEOUT_S)
        return port

    yield start

    async def stop() -> None:
        for server in servers:
            server.close()
        await stop_all(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
        loop.stop()

    asyncio.run_coroutine_threadsafe(stop(), loop)
    thread.join(START_TIMEOUT_S)
    loop.close()


@pytest.fixture
def by_smtp(resources: Resources, start_server: StartServer) -> Resources:
    """The resources with a plain server."""
    return replace(
        resources, post=replace(resources.post, transport=Smtp("localhost", start_server(), "none"))
    )


@pytest.fixture
def push_service() -> Iterator[PushService]:
    service = PushService()
    service.start()
    yield service
    service.stop()
