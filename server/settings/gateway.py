"""Where Nginx listens, whom it lets in, and how much it accepts from one client."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from server.settings.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The addresses of the gateway."""

    http_host: str
    http_port: int
    https_port: int
    """Unused without a certificate."""
    tls_certificate: Path | None
    tls_key: Path | None
    tls_chain: Path | None
    public_url: str
    """The address of the gateway for people: e-mails link to it."""
    allowed_origins: tuple[str, ...]
    """Whose pages may call the API in a browser, besides our own."""

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the gateway."""
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(self.http_host, self.http_host)  # noqa: S104
        if self.tls_certificate is None:
            return f"http://{host}:{self.http_port}"
        return f"https://{host}:{self.https_port}"

    @classmethod
    def read(cls, read: Reader) -> Self:
        http_host = read.text("NEIGHBORBID_HTTP_HOST", "127.0.0.1")
        if any(not (char.isalnum() or char in ".-:[]") for char in http_host):
            read.problems.append(
                f"NEIGHBORBID_HTTP_HOST must be an address or a host name, not {http_host!r}."
            )
        certificate = read.file("NEIGHBORBID_TLS_CERTIFICATE")
        key = read.file("NEIGHBORBID_TLS_KEY")
        chain = read.file("NEIGHBORBID_TLS_CHAIN")
        if (certificate is None) != (key is None):
            read.problems.append("NEIGHBORBID_TLS_CERTIFICATE and NEIGHBORBID_TLS_KEY must be set together.")
        if chain is not None and certificate is None:
            read.problems.append("NEIGHBORBID_TLS_CHAIN needs NEIGHBORBID_TLS_CERTIFICATE.")
        read.require_in_production("NEIGHBORBID_PUBLIC_URL")
        gateway = cls(
            http_host=http_host,
            http_port=read.port("NEIGHBORBID_HTTP_PORT", 8080),
            https_port=read.port("NEIGHBORBID_HTTPS_PORT", 8443),
            tls_certificate=certificate,
            tls_key=key,
            tls_chain=chain,
            public_url=read.origin("NEIGHBORBID_PUBLIC_URL", "https://bid.example"),
            allowed_origins=read.origins("NEIGHBORBID_ALLOWED_ORIGINS"),
        )
        return gateway if gateway.public_url else replace(gateway, public_url=gateway.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one client may ask for: each address at the gateway, and each user at the REST door."""

    requests_per_s: int
    auth_requests_per_minute: int
    handshakes_per_s: int
    connections: int
    quota_factor: int
    """Multiplies the quotas of the REST door."""

    @classmethod
    def read(cls, read: Reader) -> Self:
        # In development one machine plays everybody: hundreds of bidders, bots and tests.
        few = not read.development
        return cls(
            requests_per_s=read.integer("NEIGHBORBID_REQUESTS_PER_S", 50 if few else 2000, 1, 100_000),
            auth_requests_per_minute=read.integer(
                "NEIGHBORBID_AUTH_REQUESTS_PER_MINUTE", 60 if few else 6000, 1, 100_000
            ),
            handshakes_per_s=read.integer("NEIGHBORBID_HANDSHAKES_PER_S", 10 if few else 1000, 1, 100_000),
            connections=read.integer("NEIGHBORBID_CONNECTIONS", 256 if few else 16384, 1, 65535),
            quota_factor=read.integer("NEIGHBORBID_QUOTA_FACTOR", 1 if few else 100, 1, 10_000),
        )
