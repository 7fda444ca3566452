"""What a backend of media does, and the names of its files.

All calls block. A file is whole or not there at all, and its content never changes once its address was shown.
"""

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

import msgspec

KEY = re.compile(
    r"incoming/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|photos/[0-9a-f]{32}-[a-z]+\.webp"
    r"|partial/[0-9a-f]{32}"
)
"""Every name that a file can have. Only what is below `photos/` may be read by the public."""


class MediaUnavailable(Exception):
    """The backend cannot be reached or does not work. Nobody knows whether it was done; doing it again is harmless."""


class Upload(msgspec.Struct, frozen=True):
    """How a client sends a file, without any other permission, until `expires_at` (ms).

    With `fields`, they and then the file (as `file`) make a form (multipart/form-data). Without, the file is the body.
    """

    method: Literal["POST"]
    url: str
    headers: dict[str, str]
    fields: dict[str, str]
    expires_at: int


class Media(Protocol):
    """A backend. Keys that do not match `KEY` are a ValueError. Raises MediaUnavailable."""

    def upload(self, upload_id: UUID, size: int, content_type: str, ttl_s: int) -> Upload:
        """Permission to send one file of exactly `size` bytes within `ttl_s` seconds, to `incoming(upload_id)`."""

    def url(self, key: str) -> str:
        """Where the public finds a file below `photos/`."""

    def size(self, key: str) -> int | None:
        """The bytes of a file, or None if it is not there."""

    def read(self, key: str, at_most: int) -> bytes | None:
        """The first bytes of a file, or None if it is not there."""

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Write a file."""

    def delete(self, keys: Collection[str]) -> None:
        """Delete files. That one is not there is no error."""

    def keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """Every file whose key begins with `prefix`, a room and its slash at least, and when it was written."""


def incoming(upload_id: UUID) -> str:
    """The key of what a client has sent: not public, not looked at yet."""
    return f"incoming/{upload_id}"


def checked(key: str) -> str:
    """`key`. Raises ValueError if it is none, whatever it would name."""
    if not KEY.fullmatch(key):
        raise ValueError("not a key of a file")
    return key
