"""Which ways e-mails and Web Push take, by the settings."""

from ipaddress import ip_address
from typing import Literal
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from server.settings import Settings
from tasks.senders.smtp import (
    Folder,
    PostOffice,
    Smtp,
    Transport,
)
from tasks.senders.web_push import WebPush

PORTS = {"smtp": 587, "smtps": 465}


def post_office(settings: Settings) -> PostOffice:
    """By SMTP if there is a server, else into files."""
    transport: Transport = (
        smtp(settings.mail.smtp_url) if settings.mail.smtp_url else Folder(settings.mail_dir)
    )
    return PostOffice(transport, settings.mail.sender, settings.gateway.public_url, settings.keys.unsubscribe)


def web_push(settings: Settings) -> WebPush:
    """Signed by the key of the settings: browsers that subscribed with another one cannot be reached any more."""
    key = ec.derive_private_key(int.from_bytes(settings.keys.push), ec.SECP256R1())
    return WebPush(key, f"mailto:{settings.mail.sender}", private_allowed=settings.development)


def smtp(url: str) -> Smtp:
    """`smtps` is TLS from the first byte, `smtp` goes over to TLS (STARTTLS) or fails; on this machine it is plain."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    security: Literal["none", "starttls", "tls"]
    security = "tls" if parts.scheme == "smtps" else "none" if _is_local(host) else "starttls"
    return Smtp(
        host,
        parts.port or PORTS[parts.scheme],
        security,
        unquote(parts.username or ""),
        unquote(parts.password or ""),
    )


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
