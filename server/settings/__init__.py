"""Every setting, read once from the environment into one frozen object and validated as a whole.

Only `server/` reads settings; the doors get values and objects passed in. Each subject is a group in a module of its
own, which reads its variables and says what is wrong with them. Values end in their unit (`_s`: seconds).
"""

import hashlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from server.settings.accounts import Accounts, KeyRing
from server.settings.doors import Door
from server.settings.gateway import Gateway, Limits
from server.settings.mail import Mail
from server.settings.media import Media
from server.settings.reader import BadSettings, Environment, Reader
from server.settings.secret_files import secret
from server.settings.servers import Postgres, Redis

REPO = Path(__file__).resolve().parents[2]
# A Unix socket's path holds 107 bytes; supervisord first binds `<path>.<pid>`.
LONGEST_SOCKET_PATH = 107 - len(".4194304")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided. URLs are always filled: an embedded server's URL holds its generated password."""

    home: Path
    environment: Environment
    log_level: str
    gateway: Gateway
    limits: Limits
    rest: Door
    realtime: Door
    worker_concurrency: int
    accounts: Accounts
    keys: KeyRing
    mail: Mail
    postgres: Postgres
    redis: Redis
    media: Media

    @property
    def development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    @property
    def var(self) -> Path:
        """Where this instance keeps logs, sockets, secrets and rendered configuration."""
        return self.home / "var"

    @property
    def log_dir(self) -> Path:
        return self.var / "log"

    @property
    def mail_dir(self) -> Path:
        """Where e-mails are written in development."""
        return self.var / "mail"

    @property
    def state_dir(self) -> Path:
        """Where the unprivileged servers keep data: as root outside HOME, which they may be unable to enter."""
        if os.geteuid() != 0:
            return self.var
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        return Path("/var/lib/neighborbid") / f"{self.home.name or 'root'}-{digest}"

    @property
    def media_dir(self) -> Path:
        """Where media are stored when they are on local disk."""
        return self.state_dir / "media"

    @property
    def ports(self) -> dict[str, range]:
        """The ports that this machine listens on, by the variable that says which."""
        gateway = self.gateway
        ports = {"NEIGHBORBID_HTTP_PORT": range(gateway.http_port, gateway.http_port + 1)}
        if gateway.tls_certificate is not None:
            ports["NEIGHBORBID_HTTPS_PORT"] = range(gateway.https_port, gateway.https_port + 1)
        ports |= {"NEIGHBORBID_REST_PORT": self.rest.ports, "NEIGHBORBID_REALTIME_PORT": self.realtime.ports}
        if self.postgres.embedded:
            ports["NEIGHBORBID_POSTGRES_PORT"] = range(self.postgres.port, self.postgres.port + 1)
        if self.redis.embedded:
            ports["NEIGHBORBID_REDIS_PORT"] = range(self.redis.port, self.redis.port + 1)
        return ports

    def summary(self) -> str:
        """Every setting on its own line, without secrets."""
        return "\n".join(f"{name:<32} {value}" for name, value in _lines(self))

    @classmethod
    def read(cls, read: Reader) -> Self:
        return cls(
            home=_home(read),
            environment=read.environment,
            log_level=read.choice("NEIGHBORBID_LOG_LEVEL", ("info", "debug", "warning", "error")),
            gateway=Gateway.read(read),
            limits=Limits.read(read),
            rest=Door.read(read, "NEIGHBORBID_REST", 8101),
            realtime=Door.read(read, "NEIGHBORBID_REALTIME", 8201),
            worker_concurrency=read.integer("NEIGHBORBID_WORKER_CONCURRENCY", 2, 1, 256),
            accounts=Accounts.read(read),
            keys=KeyRing.read(read),
            mail=Mail.read(read),
            postgres=Postgres.read(read),
            redis=Redis.read(read),
            media=Media.read(read),
        )


def load(environ: Mapping[str, str]) -> Settings:
    """Reads and checks all settings.

    Makes the embedded servers' passwords and, in development, the keys when they do not exist yet: files of mode 0600
    under HOME/var/secrets.
    Raises BadSettings with every problem at once; nothing is written then.
    """
    # With throw-away secrets: those in files are only made once all settings are valid.
    trial = Reader(environ, lambda _name, size: secrets.token_urlsafe(size))
    tried = Settings.read(trial)
    trial.refuse_unknown()
    if problems := trial.problems + _port_problems(list(tried.ports.items())):
        raise BadSettings(problems)
    return Settings.read(Reader(environ, partial(secret, tried.home)))


def load_or_exit() -> Settings:
    """The settings of this process's environment; prints every problem and exits with status 1 when they are bad."""
    try:
        return load(os.environ)
    except BadSettings as error:
        sys.exit("\n".join(["These settings are wrong:", *(f"  {problem}" for problem in error.problems)]))


def _home(read: Reader) -> Path:
    home = Path(read.text("NEIGHBORBID_HOME", str(REPO))).expanduser().resolve()
    if any(char.isspace() or char in "\"'%;{}" for char in str(home)):
        read.problems.append(
            f"NEIGHBORBID_HOME must be a path without spaces, quotes, %, ; or braces, not {str(home)!r}."
        )
    elif len(os.fsencode(home / "var/run/supervisor.sock")) > LONGEST_SOCKET_PATH:
        read.problems.append(f"NEIGHBORBID_HOME is too long a path for the Unix socket in it: {home}.")
    return home


def _port_problems(ports: list[tuple[str, range]]) -> list[str]:
    problems = []
    for index, (name, taken) in enumerate(ports):
        if taken[-1] > 65535:
            problems.append(f"{name} is too high: {len(taken)} processes need a port each, up to 65535.")
        for other_name, other in ports[index + 1 :]:
            clash = sorted(set(taken) & set(other))
            if clash:
                problems.append(f"{name} and {other_name} both use port {clash[0]}.")
    return problems


def _lines(group: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The dotted name of each setting in a group of settings, and what may be shown of it."""
    for field in fields(group):
        value = getattr(group, field.name)
        if is_dataclass(value):
            yield from _lines(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", _shown(value)


def _shown(value: object) -> str:
    match value:
        case bytes():
            return "given or generated"
        # Keys by kid, and lists.
        case Mapping() | tuple():
            return ", ".join(value)
        case str() if "://" in value:
            # Passwords may stand before the host or, in PostgreSQL's URLs, among the parameters.
            scheme, _, rest = value.partition("?")[0].partition("://")
            return f"{scheme}://{rest.rpartition('@')[2]}"
        case _:
            return str(value)
