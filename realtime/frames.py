"""WebSocket frames as bytes, so that one encoded frame can be written to every viewer."""

import struct

from realtime.protocol import Message, encode
from store.redis.pushes import Push


def frame(message: Message | Push) -> bytes:
    """A whole server text frame (RFC 6455: FIN, opcode 1, unmasked)."""
    return text_frame(encode(message))


def text_frame(payload: bytes) -> bytes:
    """A whole server text frame around what is encoded already."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload
