"""What users must do to stay logged in, and the keys of everything that is signed, hashed or encrypted for them."""

from dataclasses import dataclass
from typing import Self

from server.settings.reader import Keys, Reader

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Sessions and new users."""

    session_ttl_s: int
    """How long a session lives without being used."""
    session_max_s: int
    """How long it lives at all."""
    verify_email: bool
    """Whether new users must confirm their e-mail addresses."""

    @classmethod
    def read(cls, read: Reader) -> Self:
        return cls(
            session_ttl_s=read.integer("NEIGHBORBID_SESSION_TTL_S", 14 * 24 * 3600, 60, 366 * 24 * 3600),
            session_max_s=read.integer("NEIGHBORBID_SESSION_MAX_S", 90 * 24 * 3600, 60, 366 * 24 * 3600),
            verify_email=read.switch("NEIGHBORBID_VERIFY_EMAIL", not read.development),
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KeyRing:
    """A key for each purpose. Development generates those that are not given."""

    tokens: Keys
    """Sign access tokens."""
    secrets: Keys
    """Encrypt in the tables."""
    handovers: Keys
    """Make the codes of hand-overs."""
    push: bytes
    """The private key of Web Push (VAPID), a number of P-256."""
    unsubscribe: bytes
    """Signs the links that end e-mails."""
    trace: bytes
    """Hashes where log-ins come from."""

    @classmethod
    def read(cls, read: Reader) -> Self:
        keys = cls(
            tokens=read.keys("NEIGHBORBID_TOKEN_KEYS", "token_key"),
            secrets=read.keys("NEIGHBORBID_SECRET_KEYS", "secret_key"),
            handovers=read.keys("NEIGHBORBID_HANDOVER_KEYS", "handover_key"),
            push=read.key("NEIGHBORBID_PUSH_KEY", "push_key"),
            unsubscribe=read.key("NEIGHBORBID_UNSUBSCRIBE_KEY", "unsubscribe_key"),
            trace=read.key("NEIGHBORBID_TRACE_KEY", "trace_key"),
        )
        if not 0 < int.from_bytes(keys.push) < P256_ORDER:
            read.problems.append("NEIGHBORBID_PUSH_KEY must be a private key of P-256.")
        return keys
