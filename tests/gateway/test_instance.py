"""The whole running system, through its gateway and past it."""

import asyncio
import re
import struct
from pathlib import Path

import pytest
import redis

from server.settings import Settings
from tests.support.gateway import Headers, exchange, parse, request

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}
INTERNAL = ["metrics", "healthz", "readyz"]


async def handshake(instance: Settings, headers: Headers) -> bytes:
    """The head of the answer to a handshake of a client that offers what `headers` say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.gateway.http_port)
    try:
        writer.write(request("GET", "/ws/live", {"Host": "bid.example", **HANDSHAKE, **headers}))
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        ("http://bid.example", 101),
        ("https://evil.example", 403),
        ("https://bid.example.evil.example", 403),
        ("https://evil-bid.example", 403),
        ("https://bid.example:444", 403),
        ("https://bid.example@evil.example", 403),
        ("null", 403),
        ("file://", 403),
        ("bid.example", 403),
    ],
)
async def test_only_our_own_pages_open_sockets(instance: Settings, origin: str | None, status: int) -> None:
    answer = await handshake(instance, {"Origin": origin} if origin is not None else {})
    assert int(answer.split(b" ")[1]) == status


async def test_no_compression_is_negotiated(instance: Settings) -> None:
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    answer = await handshake(instance, offer)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-extensions" not in answer.lower()


async def test_a_compressed_frame_is_no_bomb_but_an_error(instance: Settings) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.gateway.http_port)
    writer.write(request("GET", "/ws/live", {"Host": "bid.example", **HANDSHAKE}))
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    # A text frame with RSV1 ("compressed"), masked with zeros.
    writer.write(bytes([0b11000001, 0x80 | 4]) + b"\0\0\0\0" + b"\x4a\x4c\x04\x00")
    rest = await asyncio.wait_for(reader.read(), 10)
    writer.transport.abort()
    assert b"malformed" not in rest, "it was not even read as a message"


@pytest.mark.parametrize("size", [16 * 1024 + 1, 1024 * 1024, 2**62])
async def test_an_oversized_message_closes_the_socket(instance: Settings, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.gateway.http_port)
    try:
        writer.write(request("GET", "/ws/live", {"Host": "bid.example", **HANDSHAKE}))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        # Final text frames, masked with zeros. Of the second only the head is sent: it is enough to be refused, and
        # a server that closes with bytes unread resets the connection, which may overtake its last words.
        writer.write(
            b"\x81" + bytes([0x80 | 126]) + struct.pack("!H", 16 * 1024) + b"\0\0\0\0" + b"x" * 16 * 1024
        )
        writer.write(b"\x81" + bytes([0x80 | 127]) + struct.pack("!Q", size) + b"\0\0\0\0")
        said = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.transport.abort()
    assert b'"code":"malformed"' in said, "up to the limit it is read"
    closing = said[said.rindex(b"\x88") :]
    assert struct.unpack("!H", closing[2:4]) == (1009,)


@pytest.mark.parametrize("name", INTERNAL)
@pytest.mark.parametrize(
    "spelling",
    [
        "/{}",
        "//{}",
        "/./{}",
        "/x/../{}",
        "/{}/",
        "/{}?x=1",
        "/{}%00",
        "/%2e/{}",
        "/%2f{}",
        "/{}%2f",
        "/{}%3fx",
        "/{}%20",
        "/{};x",
        "/api/{}",
        "/api/../{}",
        "/api/..%2f{}",
        "/api/%2e%2e/{}",
        "/api%2f..%2f{}",
        "/api//../{}",
        "/api/..;/{}",
        "/api/v1/../../{}",
        "/ws/{}",
        "/ws/../{}",
        "/ws/..%2f{}",
        "/ws/%2e%2e/{}",
        "/ws/%252e%252e/{}",
        "/ws/..\\{}",
        "http://127.0.0.1/{}",
    ],
)
async def test_nothing_internal_is_reachable(instance: Settings, name: str, spelling: str) -> None:
    encoded = "".join(f"%{ord(char):02x}" for char in name)
    for spelled in (name, encoded, name.upper(), name[:-1] + encoded[-3:]):
        text = await exchange(instance.gateway.http_port, request("GET", spelling.format(spelled)))
        answer = parse(text)
        assert answer.status in (400, 404), spelled
        assert b"# HELP" not in answer.body


def test_private_ports_are_on_loopback_only(instance: Settings) -> None:
    private = {*instance.rest.ports, *instance.realtime.ports, instance.postgres.port, instance.redis.port}
    listening: dict[int, set[str]] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state = re.split(r" +", line.strip())[1:4:2]
            address, _, port = local.partition(":")
            if state == "0A":
                listening.setdefault(int(port, 16), set()).add(address)
    for port in private:
        # 127.0.0.1, as the kernel writes it on a little-endian machine.
        assert listening[port] == {"0100007F"}, port


async def test_a_spoofed_address_has_no_quota_of_its_own(instance: Settings) -> None:
    spoofed = {"X-Forwarded-For": "198.51.100.7", "X-Real-IP": "198.51.100.7"}
    with redis.Redis.from_url(instance.redis.url, socket_timeout=10) as client, client.monitor() as monitor:
        text = await exchange(instance.gateway.http_port, request("GET", "/api/v1/regions", spoofed))
        keys = (re.search(r"quota:default:address:\S+", said["command"]) for said in monitor.listen())
        counted = next(key[0] for key in keys if key)
    assert counted == "quota:default:address:127.0.0.1"
    answer = parse(text)
    assert answer.headers["ratelimit-policy"] == '"default";q=60000;w=60'
    assert re.fullmatch(r'"default";r=[0-9]+;t=[0-9]+', answer.headers["ratelimit"])
