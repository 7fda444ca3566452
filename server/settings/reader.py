"""Reads variables of an environment by name and collects what is wrong with them."""

import base64
import binascii
import difflib
import os
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "NEIGHBORBID_"
KEY_BYTES = 32
# What a browser sends: lower case, and no port when it is the scheme's own.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")

Keys = Mapping[str, bytes]
"""Keys of one purpose by kid: the first is for what is new, all are good for what is still around."""


class BadSettings(Exception):
    """The environment does not make valid settings; `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Environment(StrEnum):
    """Whether money is real: production has no top-up without payment, and stricter limits."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class Reader:
    """Each method reads one variable. One that is wrong becomes a sentence in `problems`, and its default is returned.

    `secret` makes so many random bytes, in base64url, for a name.
    """

    def __init__(self, environ: Mapping[str, str], secret: Callable[[str, int], str]) -> None:
        self.environ = environ
        self._secret = secret
        self.known: set[str] = set()
        self.problems: list[str] = []
        self.environment = Environment(self.choice("NEIGHBORBID_ENVIRONMENT", ("development", "production")))

    @property
    def development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    def secret(self, name: str, size: int = 24) -> str:
        """What may be left out and must not be guessed: `size` random bytes in base64url, always the same by `name`."""
        return self._secret(name, size)

    def require_in_production(self, *names: str) -> None:
        for name in names:
            if not self.development and not self.text(name, ""):
                self.problems.append(f"{name} must be set in production.")

    def text(self, name: str, default: str) -> str:
        self.known.add(name)
        return self.environ.get(name, "").strip() or default

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        raw = self.text(name, str(default))
        # int() alone would also take "1_000", " 7" and other alphabets' digits.
        if raw.isascii() and raw.isdigit() and least <= int(raw) <= most:
            return int(raw)
        self.problems.append(f"{name} must be a whole number from {least} to {most}, not {raw!r}.")
        return default

    def port(self, name: str, default: int) -> int:
        return self.integer(name, default, 1, 65535)

    def switch(self, name: str, default: bool) -> bool:
        return self.choice(name, ("on", "off") if default else ("off", "on")) == "on"

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The first choice is the default."""
        raw = self.text(name, choices[0])
        if raw in choices:
            return raw
        self.problems.append(f"{name} must be one of {', '.join(choices)}, not {raw!r}.")
        return choices[0]

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in self.text(name, "").split(",") if word.strip())

    def hosts(self, name: str, ports: range) -> tuple[str, ...]:
        """Pairs of host and port; by default the `ports` of this machine."""
        hosts = self.words(name)
        for host in hosts:
            if not _is_host_and_port(host):
                self.problems.append(f"{name} must list host:port pairs, not {host!r}.")
        return hosts or tuple(f"127.0.0.1:{port}" for port in ports)

    def origins(self, name: str) -> tuple[str, ...]:
        origins = self.words(name)
        for origin in origins:
            if not ORIGIN.fullmatch(origin):
                self.problems.append(f"{name} must list origins such as https://example.org, not {origin!r}.")
        return origins

    def origin(self, name: str, example: str) -> str:
        """An origin, without a last slash; empty when unset."""
        origin = self.text(name, "").rstrip("/")
        if origin and not ORIGIN.fullmatch(origin):
            self.problems.append(f"{name} must be an origin such as {example}, not {origin!r}.")
        return origin

    def file(self, name: str) -> Path | None:
        """An absolute path of a file that Nginx will read; None when unset."""
        raw = self.text(name, "")
        if not raw:
            return None
        if not re.fullmatch(r"/[\w./+@-]+", raw) or not os.access(raw, os.R_OK):
            self.problems.append(f"{name} must be the absolute path of a readable file, not {raw!r}.")
        return Path(raw)

    def keys(self, name: str, file: str) -> Keys:
        """Keys by kid, which production must name; else one generated key. None is ever repeated in a problem."""
        self.require_in_production(name)
        pairs = []
        for word in self.words(name):
            kid, _, text = word.partition(":")
            key = _decoded_key(text)
            if re.fullmatch("[A-Za-z0-9_-]{1,32}", kid) and key is not None:
                pairs.append((kid, key))
            else:
                self.problems.append(
                    f"{name} must list kid:key pairs, each key {KEY_BYTES} bytes in base64url."
                )
        if len(dict(pairs)) < len(pairs):
            self.problems.append(f"{name} must use each kid only once.")
        return dict(pairs) or {"generated": self._generated_key(file)}

    def key(self, name: str, file: str) -> bytes:
        """A key, which production must name; else a generated one. It is never repeated in a problem."""
        self.require_in_production(name)
        raw = self.text(name, "")
        key = _decoded_key(raw)
        if raw and key is None:
            self.problems.append(f"{name} must be {KEY_BYTES} bytes in base64url.")
        return key or self._generated_key(file)

    def _generated_key(self, file: str) -> bytes:
        return base64.urlsafe_b64decode(self.secret(file, KEY_BYTES) + "=")

    def service_url(self, name: str, schemes: tuple[str, ...]) -> str | None:
        """A URL or None when unset. The value itself is never repeated in a problem: it may hold a password."""
        raw = self.text(name, "")
        if not raw:
            return None
        try:
            parts = urlsplit(raw)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            self.problems.append(
                f"{name} must be a URL that starts with {' or '.join(s + '://' for s in schemes)}."
            )
        return raw

    def refuse_unknown(self) -> None:
        """Variables of ours that nothing has read are mistakes. To be called last."""
        for name in sorted(self.environ):
            if name.startswith(PREFIX) and name not in self.known:
                close = difflib.get_close_matches(name, self.known, n=1)
                advice = f" Did you mean {close[0]}?" if close else ""
                self.problems.append(f"{name} is not a setting.{advice}")


def _decoded_key(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _is_host_and_port(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return parts.netloc == text and bool(parts.hostname) and bool(parts.port) and "@" not in text
    except ValueError:
        return False
