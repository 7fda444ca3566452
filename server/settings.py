"""Every setting, read once from the environment into one frozen object and validated as a whole.

Only `server/` reads settings; the doors get values and objects passed in. `load()` raises `BadSettings`, which
lists all problems together. Values end in their unit (`_s`: seconds).
"""

import base64
import binascii
import contextlib
import difflib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

REPO = Path(__file__).resolve().parent.parent
PREFIX = "NEIGHBORBID_"
KEY_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# A Unix socket's path holds 107 bytes; supervisord first binds `<path>.<pid>`.
LONGEST_SOCKET_PATH = 107 - len(".4194304")
MAIL_ADDRESS = r"[!-?A-~]{1,64}@[A-Za-z0-9.-]+"
# What a browser sends: lower case, and no port when it is the scheme's own.
ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class Environment(StrEnum):
    """Whether money is real: production has no top-up without payment, and stricter limits."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


class BadSettings(Exception):
    """The environment does not make valid settings; `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided. URLs are always filled: an embedded server's URL holds its generated password."""

    home: Path
    environment: Environment
    log_level: str
    http_host: str
    http_port: int
    https_port: int
    tls_certificate: Path | None
    tls_key: Path | None
    tls_chain: Path | None
    requests_per_s: int
    auth_requests_per_minute: int
    handshakes_per_s: int
    connections: int
    quota_factor: int
    rest_processes: int
    rest_port: int
    rest_hosts: tuple[str, ...]
    realtime_processes: int
    realtime_port: int
    realtime_hosts: tuple[str, ...]
    worker_concurrency: int
    allowed_origins: tuple[str, ...]
    session_ttl_s: int
    session_max_s: int
    token_keys: tuple[tuple[str, bytes], ...] = field(repr=False)
    """(kid, key) of each: the first signs access tokens, all verify them."""
    secret_keys: tuple[tuple[str, bytes], ...] = field(repr=False)
    """The same for what is encrypted in the tables: the first encrypts, all decrypt."""
    handover_keys: tuple[tuple[str, bytes], ...] = field(repr=False)
    """The same for the codes of hand-overs: the first makes them, those of all are good."""
    push_key: bytes = field(repr=False)
    """The private key of Web Push (VAPID), a number of P-256."""
    unsubscribe_key: bytes = field(repr=False)
    """Signs the links that end e-mails."""
    trace_key: bytes = field(repr=False)
    """Hashes where log-ins come from."""
    verify_email: bool
    """Whether new users must confirm their e-mail addresses."""
    smtp_url: str | None
    """None: mails become files in `mail_dir`."""
    mail_from: str
    public_url: str
    """Where people find the gateway: mails link to it."""
    postgres_port: int
    postgres_fsync: bool
    redis_port: int
    embedded_postgres: bool
    embedded_redis: bool
    database_url: str
    owner_database_url: str
    redis_url: str
    celery_broker_url: str
    media: str
    """`local` or `s3`."""
    media_base: str
    """Where the public reads media: a path of the gateway, or an address elsewhere."""
    s3_bucket: str
    s3_region: str
    s3_endpoint: str
    s3_path_style: bool

    @property
    def media_dir(self) -> Path:
        """Where media lie when they are on local disk."""
        return self.state_dir / "media"

    @property
    def media_origins(self) -> tuple[str, ...]:
        """Origins other than the gateway's where pages read media and send uploads to."""
        if self.media == "local":
            addresses = [self.media_base]
        elif self.s3_path_style:
            addresses = [self.media_base, self.s3_endpoint]
        else:
            addresses = [self.media_base, self.s3_endpoint.replace("://", f"://{self.s3_bucket}.", 1)]
        origins = (ORIGIN.match(address) for address in addresses)
        return tuple(dict.fromkeys(origin[0] for origin in origins if origin))

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
        """Where mails are found in development."""
        return self.var / "mail"

    @property
    def state_dir(self) -> Path:
        """Where the unprivileged servers keep data: as root outside HOME, which they may be unable to enter."""
        if os.geteuid() != 0:
            return self.var
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        return Path("/var/lib/neighborbid") / f"{self.home.name or 'root'}-{digest}"

    @property
    def rest_ports(self) -> range:
        return range(self.rest_port, self.rest_port + self.rest_processes)

    @property
    def realtime_ports(self) -> range:
        return range(self.realtime_port, self.realtime_port + self.realtime_processes)

    @property
    def url(self) -> str:
        """Where a browser on this machine finds the gateway."""
        return _gateway_url(self.http_host, self.http_port, self.https_port if self.tls_certificate else None)

    def summary(self) -> str:
        """Every setting on a line of its own, without secrets."""
        return "\n".join(f"{field.name:<20} {self._shown(field.name)}" for field in fields(self))

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if isinstance(value, bytes):
            return "given or generated"
        if name.endswith("_keys"):
            return ", ".join(kid for kid, _ in value)
        if name.endswith("_url") and value is not None:
            # Passwords may stand before the host or, in PostgreSQL's URLs, among the parameters.
            scheme, _, rest = value.partition("?")[0].partition("://")
            return f"{scheme}://{rest.rpartition('@')[2]}"
        return ", ".join(value) if isinstance(value, tuple) else str(value)


def _gateway_url(host: str, http_port: int, https_port: int | None) -> str:
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{host}:{http_port}" if https_port is None else f"https://{host}:{https_port}"


class _Reader:
    """Takes variables out of an environment by name and collects what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.known: set[str] = set()
        self.problems: list[str] = []

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

    def file(self, name: str) -> Path | None:
        """An absolute path of a file that Nginx will read; None when unset."""
        raw = self.text(name, "")
        if not raw:
            return None
        if not re.fullmatch(r"/[\w./+@-]+", raw) or not os.access(raw, os.R_OK):
            self.problems.append(f"{name} must be the absolute path of a readable file, not {raw!r}.")
        return Path(raw)

    def keys(self, name: str) -> tuple[tuple[str, bytes], ...]:
        """Pairs of kid and key. The value itself is never repeated in a problem."""
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
        if len({kid for kid, _ in pairs}) < len(pairs):
            self.problems.append(f"{name} must name every kid once.")
        return tuple(pairs)

    def key(self, name: str) -> bytes | None:
        """A key, or None when unset. The value itself is never repeated in a problem."""
        raw = self.text(name, "")
        key = _decoded_key(raw)
        if raw and key is None:
            self.problems.append(f"{name} must be {KEY_BYTES} bytes in base64url.")
        return key

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


def load(environ: Mapping[str, str]) -> Settings:
    """Reads and checks all settings.

    Makes the embedded servers' passwords and, in development, the keys when they do not exist yet: files of mode 0600
    under HOME/var/secrets.
    Raises BadSettings with every problem at once; nothing is written then.
    """
    read = _Reader(environ)
    home = Path(read.text("NEIGHBORBID_HOME", str(REPO))).expanduser().resolve()
    environment = Environment(read.choice("NEIGHBORBID_ENVIRONMENT", ("development", "production")))
    log_level = read.choice("NEIGHBORBID_LOG_LEVEL", ("info", "debug", "warning", "error"))
    http_host = read.text("NEIGHBORBID_HTTP_HOST", "127.0.0.1")
    http_port = read.port("NEIGHBORBID_HTTP_PORT", 8080)
    https_port = read.port("NEIGHBORBID_HTTPS_PORT", 8443)
    tls_certificate = read.file("NEIGHBORBID_TLS_CERTIFICATE")
    tls_key = read.file("NEIGHBORBID_TLS_KEY")
    tls_chain = read.file("NEIGHBORBID_TLS_CHAIN")
    # Per client address. In development one machine plays everybody: hundreds of bidders, bots and tests.
    development = environment is Environment.DEVELOPMENT
    requests_per_s = read.integer("NEIGHBORBID_REQUESTS_PER_S", 2000 if development else 50, 1, 100_000)
    auth_requests_per_minute = read.integer(
        "NEIGHBORBID_AUTH_REQUESTS_PER_MINUTE", 6000 if development else 60, 1, 100_000
    )
    handshakes_per_s = read.integer("NEIGHBORBID_HANDSHAKES_PER_S", 1000 if development else 10, 1, 100_000)
    connections = read.integer("NEIGHBORBID_CONNECTIONS", 16384 if development else 256, 1, 65535)
    quota_factor = read.integer("NEIGHBORBID_QUOTA_FACTOR", 100 if development else 1, 1, 10_000)
    rest_processes = read.integer("NEIGHBORBID_REST_PROCESSES", 2, 1, 64)
    rest_port = read.port("NEIGHBORBID_REST_PORT", 8101)
    realtime_processes = read.integer("NEIGHBORBID_REALTIME_PROCESSES", 2, 1, 64)
    realtime_port = read.port("NEIGHBORBID_REALTIME_PORT", 8201)
    rest_hosts = read.hosts("NEIGHBORBID_REST_HOSTS", range(rest_port, rest_port + rest_processes))
    realtime_hosts = read.hosts(
        "NEIGHBORBID_REALTIME_HOSTS", range(realtime_port, realtime_port + realtime_processes)
    )
    worker_concurrency = read.integer("NEIGHBORBID_WORKER_CONCURRENCY", 2, 1, 256)
    allowed_origins = read.origins("NEIGHBORBID_ALLOWED_ORIGINS")
    session_ttl_s = read.integer("NEIGHBORBID_SESSION_TTL_S", 14 * 24 * 3600, 60, 366 * 24 * 3600)
    session_max_s = read.integer("NEIGHBORBID_SESSION_MAX_S", 90 * 24 * 3600, 60, 366 * 24 * 3600)
    verify_email = read.switch("NEIGHBORBID_VERIFY_EMAIL", not development)
    smtp_url = read.service_url("NEIGHBORBID_SMTP_URL", ("smtp", "smtps"))
    mail_from = read.text("NEIGHBORBID_MAIL_FROM", "neighborbid@localhost")
    public_url = read.text("NEIGHBORBID_PUBLIC_URL", "").rstrip("/")
    token_keys = read.keys("NEIGHBORBID_TOKEN_KEYS")
    secret_keys = read.keys("NEIGHBORBID_SECRET_KEYS")
    handover_keys = read.keys("NEIGHBORBID_HANDOVER_KEYS")
    push_key = read.key("NEIGHBORBID_PUSH_KEY")
    unsubscribe_key = read.key("NEIGHBORBID_UNSUBSCRIBE_KEY")
    trace_key = read.key("NEIGHBORBID_TRACE_KEY")
    postgres_port = read.port("NEIGHBORBID_POSTGRES_PORT", 8301)
    postgres_fsync = read.choice("NEIGHBORBID_POSTGRES_FSYNC", ("on", "off")) == "on"
    redis_port = read.port("NEIGHBORBID_REDIS_PORT", 8302)
    database_url = read.service_url("DATABASE_URL", ("postgresql", "postgresql+psycopg"))
    owner_url = read.service_url("NEIGHBORBID_OWNER_DATABASE_URL", ("postgresql", "postgresql+psycopg"))
    redis_url = read.service_url("REDIS_URL", ("redis", "rediss"))
    broker_url = read.service_url("CELERY_BROKER_URL", ("redis", "rediss", "amqp", "amqps"))

    media = read.choice("NEIGHBORBID_MEDIA", ("local", "s3"))
    media_base = read.text("NEIGHBORBID_MEDIA_URL", "")
    s3_bucket = read.text("NEIGHBORBID_S3_BUCKET", "")
    s3_region = read.text("NEIGHBORBID_S3_REGION", "us-east-1")
    s3_endpoint = read.text("NEIGHBORBID_S3_ENDPOINT", "")

    embedded_postgres = database_url is None
    # Celery cannot use a Redis Cluster as its broker, so a REDIS_URL alone never becomes the broker.
    embedded_redis = redis_url is None or broker_url is None

    problems = read.problems
    if any(not (char.isalnum() or char in ".-:[]") for char in http_host):
        problems.append(f"NEIGHBORBID_HTTP_HOST must be an address or a host name, not {http_host!r}.")
    if any(char.isspace() or char in "\"'%;{}" for char in str(home)):
        problems.append(
            f"NEIGHBORBID_HOME must be a path without blanks, quotes, %, ; and braces, not {str(home)!r}."
        )
    elif len(os.fsencode(home / "var/run/supervisor.sock")) > LONGEST_SOCKET_PATH:
        problems.append(f"NEIGHBORBID_HOME is too long for the Unix socket in it: {home}.")
    if not postgres_fsync and environment is Environment.PRODUCTION:
        problems.append("NEIGHBORBID_POSTGRES_FSYNC may only be off in development.")
    if (tls_certificate is None) != (tls_key is None):
        problems.append("NEIGHBORBID_TLS_CERTIFICATE and NEIGHBORBID_TLS_KEY need each other.")
    if tls_chain is not None and tls_certificate is None:
        problems.append("NEIGHBORBID_TLS_CHAIN needs NEIGHBORBID_TLS_CERTIFICATE.")
    if push_key is not None and not 0 < int.from_bytes(push_key) < P256_ORDER:
        problems.append("NEIGHBORBID_PUSH_KEY must be a private key of P-256.")
    if not re.fullmatch(MAIL_ADDRESS, mail_from):
        problems.append(f"NEIGHBORBID_MAIL_FROM must be an e-mail address, not {mail_from!r}.")
    if public_url and not ORIGIN.fullmatch(public_url):
        problems.append(
            f"NEIGHBORBID_PUBLIC_URL must be an origin such as https://bid.example, not {public_url!r}."
        )
    if not development:
        needed = ["SMTP_URL", "PUBLIC_URL", "MAIL_FROM", "TOKEN_KEYS", "SECRET_KEYS", "HANDOVER_KEYS"]
        needed += ["PUSH_KEY", "UNSUBSCRIBE_KEY", "TRACE_KEY"]
        problems += [
            f"{PREFIX}{name} must be set in production."
            for name in needed
            if not read.text(PREFIX + name, "")
        ]
    if owner_url is not None and embedded_postgres:
        problems.append(
            "NEIGHBORBID_OWNER_DATABASE_URL needs DATABASE_URL: the embedded server has its own owner."
        )
    problems += _media_problems(media, media_base, s3_bucket, s3_region, s3_endpoint)
    ports = [("NEIGHBORBID_HTTP_PORT", range(http_port, http_port + 1))]
    if tls_certificate is not None:
        ports.append(("NEIGHBORBID_HTTPS_PORT", range(https_port, https_port + 1)))
    ports.append(("NEIGHBORBID_REST_PORT", range(rest_port, rest_port + rest_processes)))
    ports.append(("NEIGHBORBID_REALTIME_PORT", range(realtime_port, realtime_port + realtime_processes)))
    if embedded_postgres:
        ports.append(("NEIGHBORBID_POSTGRES_PORT", range(postgres_port, postgres_port + 1)))
    if embedded_redis:
        ports.append(("NEIGHBORBID_REDIS_PORT", range(redis_port, redis_port + 1)))
    problems += _port_problems(ports)
    problems += _unknown_names(environ, read.known)
    if problems:
        raise BadSettings(problems)

    token_keys = token_keys or _generated_keys(home, "token_key")
    secret_keys = secret_keys or _generated_keys(home, "secret_key")
    handover_keys = handover_keys or _generated_keys(home, "handover_key")
    push_key = push_key or _generated_key(home, "push_key")
    unsubscribe_key = unsubscribe_key or _generated_key(home, "unsubscribe_key")
    trace_key = trace_key or _generated_key(home, "trace_key")
    if database_url is None:
        password = secret(home, "postgres")
        database_url = f"postgresql://neighborbid:{password}@127.0.0.1:{postgres_port}/neighborbid"
    embedded_redis_url = f"redis://:{secret(home, 'redis')}@127.0.0.1:{redis_port}" if embedded_redis else ""
    return Settings(
        home=home,
        environment=environment,
        log_level=log_level,
        http_host=http_host,
        http_port=http_port,
        https_port=https_port,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls_chain=tls_chain,
        requests_per_s=requests_per_s,
        auth_requests_per_minute=auth_requests_per_minute,
        handshakes_per_s=handshakes_per_s,
        connections=connections,
        quota_factor=quota_factor,
        rest_processes=rest_processes,
        rest_port=rest_port,
        rest_hosts=rest_hosts,
        realtime_processes=realtime_processes,
        realtime_port=realtime_port,
        realtime_hosts=realtime_hosts,
        worker_concurrency=worker_concurrency,
        allowed_origins=allowed_origins,
        session_ttl_s=session_ttl_s,
        session_max_s=session_max_s,
        verify_email=verify_email,
        smtp_url=smtp_url,
        mail_from=mail_from,
        public_url=public_url or _gateway_url(http_host, http_port, https_port if tls_certificate else None),
        token_keys=token_keys,
        secret_keys=secret_keys,
        handover_keys=handover_keys,
        push_key=push_key,
        unsubscribe_key=unsubscribe_key,
        trace_key=trace_key,
        postgres_port=postgres_port,
        postgres_fsync=postgres_fsync,
        redis_port=redis_port,
        embedded_postgres=embedded_postgres,
        embedded_redis=embedded_redis,
        database_url=database_url.replace("postgresql+psycopg://", "postgresql://", 1),
        owner_database_url=(owner_url or database_url).replace("postgresql+psycopg://", "postgresql://", 1),
        redis_url=redis_url or f"{embedded_redis_url}/0",
        celery_broker_url=broker_url or f"{embedded_redis_url}/1",
        media=media,
        media_base=media_base or _media_base(media, s3_bucket, s3_region, s3_endpoint),
        s3_bucket=s3_bucket,
        s3_region=s3_region,
        s3_endpoint=s3_endpoint or f"https://s3.{s3_region}.amazonaws.com",
        s3_path_style=s3_endpoint != "",
    )


def _media_problems(media: str, base: str, bucket: str, region: str, endpoint: str) -> list[str]:
    """They stand in Nginx's configuration and in addresses, so they must be what they seem to be."""
    problems = []
    if base and not re.fullmatch(rf"{ORIGIN.pattern}(/[\w./~-]*[\w~-])?", base, re.ASCII):
        problems.append(
            f"NEIGHBORBID_MEDIA_URL must be an address such as https://media.example.org, not {base!r}."
        )
    if media == "s3" and not re.fullmatch("[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket):
        problems.append(f"NEIGHBORBID_S3_BUCKET must be the name of a bucket, not {bucket!r}.")
    if not re.fullmatch("[a-z0-9-]+", region):
        problems.append(f"NEIGHBORBID_S3_REGION must be the name of a region, not {region!r}.")
    if endpoint and not ORIGIN.fullmatch(endpoint):
        problems.append(
            f"NEIGHBORBID_S3_ENDPOINT must be an origin such as https://s3.example.org, not {endpoint!r}."
        )
    if media == "local" and (bucket or endpoint):
        problems.append("NEIGHBORBID_S3_BUCKET and NEIGHBORBID_S3_ENDPOINT need NEIGHBORBID_MEDIA=s3.")
    return problems


def _media_base(media: str, bucket: str, region: str, endpoint: str) -> str:
    if media == "local":
        return "/media"
    return f"{endpoint}/{bucket}" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com"


def _port_problems(ports: list[tuple[str, range]]) -> list[str]:
    problems = []
    for index, (name, taken) in enumerate(ports):
        if taken[-1] > 65535:
            problems.append(f"{name} is too high for {len(taken)} processes of one port each.")
        for other_name, other in ports[index + 1 :]:
            clash = sorted(set(taken) & set(other))
            if clash:
                problems.append(f"{name} and {other_name} both claim port {clash[0]}.")
    return problems


def _unknown_names(environ: Mapping[str, str], known: set[str]) -> list[str]:
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name} is not a setting." + (f" Did you mean {close[0]}?" if close else ""))
    return problems


def secret(home: Path, name: str, size: int = 24) -> str:
    """A generated secret of `size` bytes, such as an embedded server's password.

    It is made once and kept in HOME/var/secrets with mode 0600.
    """
    path = home / "var" / "secrets" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(size))
        # A link is atomic and never replaces: two first starts at once agree on one whole password.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_text()


def _generated_key(home: Path, name: str) -> bytes:
    return base64.urlsafe_b64decode(secret(home, name, KEY_BYTES) + "=")


def _generated_keys(home: Path, name: str) -> tuple[tuple[str, bytes], ...]:
    return (("generated", _generated_key(home, name)),)


def load_or_exit() -> Settings:
    """The settings of this process's environment; prints every problem and exits with status 1 when they are bad."""
    try:
        return load(os.environ)
    except BadSettings as error:
        sys.exit("\n".join(["These settings are wrong:", *(f"  {problem}" for problem in error.problems)]))
