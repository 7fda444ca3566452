"""Secrets that must be readable again, encrypted before they reach a table (AES-256-GCM).

The database alone, or a backup of it, is not enough to read them.
"""

import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class UnknownKey(Exception):
    """A secret was sealed under a key that is not among ours (any more)."""


class Vault:
    """Of `keys`, 32 random bytes each by their `kid`, the first seals and all open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._kid = next(iter(self._ciphers))

    def seal(self, secret: str, place: bytes) -> tuple[str, bytes]:
        """The kid of the key, and the sealed secret. It can only be opened as that of the same `place`, such as the
        table and the id: moved to another row it is worth nothing."""
        nonce = os.urandom(NONCE_BYTES)
        return self._kid, nonce + self._ciphers[self._kid].encrypt(nonce, secret.encode(), place)

    def open(self, kid: str, sealed: bytes, place: bytes) -> str:
        """The secret. Raises `UnknownKey`, or `cryptography.exceptions.InvalidTag` when anything was changed."""
        if kid not in self._ciphers:
            raise UnknownKey(kid)
        return self._ciphers[kid].decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place).decode()
