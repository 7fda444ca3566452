"""Media on local disk. Nginx serves what is public; uploads come through our own REST door, by signed addresses."""

import hmac
import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import UUID

from store.media.interface import Upload, checked, incoming

UPLOADS = "/api/v1/uploads"
_MODES = {"photos": 0o755, "incoming": 0o700, "partial": 0o700}


class Receiving:
    """An upload that comes in pieces, into a file of its own until it is whole. Raises OSError."""

    def __init__(self, partial: Path, target: Path, size: int) -> None:
        self._partial, self._target = partial, target
        self._file = partial.open("xb")
        self._missing = size

    def write(self, chunk: bytes) -> None:
        """Add a piece. What is more than the announced size is a ValueError and is not written."""
        if len(chunk) > self._missing:
            raise ValueError("more than was announced")
        self._file.write(chunk)
        self._missing -= len(chunk)

    def finish(self) -> bool:
        """Put the file in its place if it is whole. Forgets it otherwise."""
        self._file.close()
        if self._missing:
            self._partial.unlink()
            return False
        self._partial.replace(self._target)
        return True

    def abort(self) -> None:
        """Forget what has come. Harmless at any time."""
        self._file.close()
        self._partial.unlink(missing_ok=True)


class LocalMedia:
    """Files below `root`. `secret` signs the addresses of uploads; every process of an instance has the same."""

    def __init__(self, root: Path, secret: bytes, base_url: str = "/media") -> None:
        self._root, self._secret, self._base_url = root, secret, base_url

    def upload(self, upload_id: UUID, size: int, content_type: str, ttl_s: int) -> Upload:
        expires_s = int(time.time()) + ttl_s
        signature = self._signature(upload_id, size, expires_s)
        return Upload(
            method="POST",
            url=f"{UPLOADS}/{upload_id}?size={size}&expires={expires_s}&signature={signature}",
            headers={"Content-Type": content_type},
            fields={},
            expires_at=expires_s * 1000,
        )

    def signed(self, upload_id: UUID, size: int, expires_s: int, signature: str) -> bool:
        """Whether `upload` has made this address. It may have expired."""
        return hmac.compare_digest(signature.encode(), self._signature(upload_id, size, expires_s).encode())

    def receive(self, upload_id: UUID, size: int) -> Receiving:
        """Begin to take an upload of `size` bytes."""
        return Receiving(self._partial(), self._path(incoming(upload_id)), size)

    def url(self, key: str) -> str:
        return f"{self._base_url}/{checked(key)}"

    def size(self, key: str) -> int | None:
        with suppress(FileNotFoundError):
            return self._path(key).stat().st_size
        return None

    def read(self, key: str, at_most: int) -> bytes | None:
        with suppress(FileNotFoundError), self._path(key).open("rb") as file:
            return file.read(at_most)
        return None

    def put(self, key: str, content: bytes, content_type: str) -> None:
        partial = self._partial()
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                # Its name must not survive a power cut without it.
                os.fsync(file.fileno())
            partial.chmod(0o644)
            partial.replace(self._path(key))
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, keys: Collection[str]) -> None:
        for key in keys:
            self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        room, _, start = prefix.partition("/")
        with os.scandir(self._room(room)) as entries:
            for entry in entries:
                if entry.name.startswith(start):
                    with suppress(FileNotFoundError):
                        yield f"{room}/{entry.name}", datetime.fromtimestamp(entry.stat().st_mtime, UTC)

    def _signature(self, upload_id: UUID, size: int, expires_s: int) -> str:
        return hmac.new(self._secret, f"upload {upload_id} {size} {expires_s}".encode(), sha256).hexdigest()

    def _partial(self) -> Path:
        return self._path(f"partial/{secrets.token_hex(16)}")

    def _path(self, key: str) -> Path:
        room, _, name = checked(key).partition("/")
        return self._room(room) / name

    def _room(self, room: str) -> Path:
        path = self._root / room
        if not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            # Whatever the umask: Nginx's workers are another user.
            self._root.chmod(0o755)
            path.chmod(_MODES[room])
        return path
