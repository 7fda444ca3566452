import re
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from server import cli, media
from server.senders import post_office, smtp, web_push
from server.settings import REPO, Settings, load
from server.settings.accounts import P256_ORDER
from server.settings.reader import BadSettings, Reader
from store.media.local import LocalMedia
from store.media.s3 import S3Media
from tasks.senders.smtp import Folder, Smtp

KEY = "A" * 43
KEYS = ("NEIGHBORBID_TOKEN_KEYS", "NEIGHBORBID_SECRET_KEYS", "NEIGHBORBID_HANDOVER_KEYS")
SINGLE_KEYS = ("NEIGHBORBID_PUSH_KEY", "NEIGHBORBID_UNSUBSCRIBE_KEY", "NEIGHBORBID_TRACE_KEY")
SINGLE_KEY = "B" * 42 + "A"
ALL_KEYS = {**dict.fromkeys(KEYS, f"one:{KEY}"), **dict.fromkeys(SINGLE_KEYS, SINGLE_KEY)}
MAIL = {
    "NEIGHBORBID_SMTP_URL": "smtps://bid:s3cret@mail.example",
    "NEIGHBORBID_MAIL_FROM": "noreply@bid.example",
    "NEIGHBORBID_PUBLIC_URL": "https://bid.example/",
}
PRODUCTION = {"NEIGHBORBID_ENVIRONMENT": "production", **ALL_KEYS, **MAIL}


def problems_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(BadSettings) as bad:
        load(environ)
    return bad.value.problems


def test_defaults_are_an_embedded_system_on_loopback(settings: Settings, home: Path) -> None:
    assert settings.postgres.embedded
    assert settings.redis.embedded
    assert settings.gateway.url == "http://127.0.0.1:8080"
    assert settings.rest.hosts == ("127.0.0.1:8101", "127.0.0.1:8102")
    assert list(settings.realtime.ports) == [8201, 8202]
    assert settings.redis.url.endswith("@127.0.0.1:8302/0")
    assert settings.redis.broker_url.endswith("@127.0.0.1:8302/1")
    assert settings.postgres.owner_url == settings.postgres.url
    assert settings.development


def test_passwords_are_made_once_and_are_private(settings: Settings, home: Path) -> None:
    again = load({"NEIGHBORBID_HOME": str(home)})
    assert again == settings
    for path in (home / "var" / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(path.read_text()) >= 24


def test_every_problem_is_listed_at_once(home: Path) -> None:
    problems = problems_of(
        {
            "NEIGHBORBID_HOME": str(home),
            "NEIGHBORBID_HTTP_PORT": "eighty",
            "NEIGHBORBID_REST_PROCESSES": "0",
            "NEIGHBORBID_ENVIRONMENT": "staging",
            "NEIGHBORBID_ALLOWED_ORIGINS": "https://example.org, example.net",
            "NEIGHBORBID_REALTIME_HOSTS": "10.0.0.1:8201, 10.0.0.2",
            "NEIGHBORBID_HTTP_HOST": "0.0.0.0; include /etc/passwd",
            "DATABASE_URL": "mysql://somewhere/x",
            "REDIS_URL": "redis://host:port/0",
            "CELERY_BROKER_URL": "not a url",
        }
    )
    for name in (
        "NEIGHBORBID_HTTP_PORT",
        "NEIGHBORBID_REST_PROCESSES",
        "NEIGHBORBID_ENVIRONMENT",
        "NEIGHBORBID_ALLOWED_ORIGINS",
        "NEIGHBORBID_REALTIME_HOSTS",
        "NEIGHBORBID_HTTP_HOST",
        "DATABASE_URL",
        "REDIS_URL",
        "CELERY_BROKER_URL",
    ):
        assert [problem for problem in problems if problem.startswith(name)], name
    assert not (home / "var").exists(), "bad settings must not leave anything behind"


def test_an_unknown_name_is_a_problem_with_a_suggestion(home: Path) -> None:
    problems = problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_HTTP_PROT": "80"})
    assert problems == ["NEIGHBORBID_HTTP_PROT is not a setting. Did you mean NEIGHBORBID_HTTP_PORT?"]


def test_two_settings_cannot_claim_one_port(home: Path) -> None:
    problems = problems_of(
        {
            "NEIGHBORBID_HOME": str(home),
            "NEIGHBORBID_REST_PROCESSES": "3",
            "NEIGHBORBID_REALTIME_PORT": "8103",
        }
    )
    assert problems == ["NEIGHBORBID_REST_PORT and NEIGHBORBID_REALTIME_PORT both use port 8103."]


def test_ports_end_at_65535(home: Path) -> None:
    problems = problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_REST_PORT": "65535"})
    assert problems == ["NEIGHBORBID_REST_PORT is too high: 2 processes need a port each, up to 65535."]


def test_a_home_too_deep_for_its_socket_is_a_problem(home: Path) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home / ("x" * 100))})
    assert problem.startswith("NEIGHBORBID_HOME is too long")


def test_given_urls_are_used_and_nothing_embedded_is_left(home: Path) -> None:
    settings = load(
        {
            "NEIGHBORBID_HOME": str(home),
            "DATABASE_URL": "postgresql+psycopg://app:pw@db.example:5432/bids",
            "REDIS_URL": "redis://cache.example:6379/0",
            "CELERY_BROKER_URL": "amqp://queue.example//",
            **ALL_KEYS,
            **MAIL,
            # The embedded server's port does not matter then.
            "NEIGHBORBID_HTTP_PORT": "8301",
        }
    )
    assert not settings.postgres.embedded
    assert not settings.redis.embedded
    assert settings.postgres.url == "postgresql://app:pw@db.example:5432/bids"
    assert not (home / "var").exists()


def test_a_redis_url_alone_never_becomes_the_broker(home: Path) -> None:
    settings = load({"NEIGHBORBID_HOME": str(home), "REDIS_URL": "redis://cluster.example:6379"})
    assert settings.redis.embedded
    assert "127.0.0.1:8302/1" in settings.redis.broker_url


def test_neither_problems_nor_the_summary_show_a_password(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {
        "NEIGHBORBID_HOME": str(home),
        "DATABASE_URL": "postgresql://app:s3cret@db.example/bids?password=s3cret",
        "REDIS_URL": "redis://:s3cret@cache.example/0",
        **ALL_KEYS,
        **MAIL,
    }
    cli.check_config(load(environ))
    assert "db.example/bids" in (shown := capsys.readouterr().out)
    assert "s3cret" not in shown
    assert KEY not in shown
    assert SINGLE_KEY not in shown
    assert repr(load(environ).keys.push) not in shown + repr(load(environ))
    assert (home / "var" / "secrets" / "redis").read_text() not in shown
    assert "s3cret" not in "\n".join(problems_of({**environ, "DATABASE_URL": "oracle://app:s3cret@db"}))


def test_tls_needs_both_files_and_they_must_be_readable(home: Path) -> None:
    (home / "cert.pem").touch()
    certificate = {"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_TLS_CERTIFICATE": str(home / "cert.pem")}
    assert problems_of(certificate) == [
        "NEIGHBORBID_TLS_CERTIFICATE and NEIGHBORBID_TLS_KEY must be set together."
    ]
    for key in (str(home / "nothing.pem"), "cert.pem", f"{home}/cert.pem; include /etc/passwd"):
        (problem,) = problems_of({**certificate, "NEIGHBORBID_TLS_KEY": key})
        assert problem.startswith("NEIGHBORBID_TLS_KEY must be")
    settings = load({**certificate, "NEIGHBORBID_TLS_KEY": str(home / "cert.pem")})
    assert settings.gateway.url == "https://127.0.0.1:8443"
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_TLS_CHAIN": f"{home}/cert.pem"})
    assert problem == "NEIGHBORBID_TLS_CHAIN needs NEIGHBORBID_TLS_CERTIFICATE."


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example/",
        "https://A.example",
        'https://a"b',
        "https://*.example",
        "*",
        "null",
        "ftp://a",
        "https://a b",
    ],
)
def test_an_origin_is_what_a_browser_sends(home: Path, origin: str) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_ALLOWED_ORIGINS": origin})
    assert problem.startswith("NEIGHBORBID_ALLOWED_ORIGINS must list origins")


def test_production_is_strict_by_default(home: Path) -> None:
    strict = load({"NEIGHBORBID_HOME": str(home), **PRODUCTION})
    limits = strict.limits
    assert (limits.requests_per_s, limits.auth_requests_per_minute, limits.handshakes_per_s) == (50, 60, 10)
    assert (limits.connections, limits.quota_factor, strict.accounts.verify_email) == (256, 1, True)
    assert strict.gateway.public_url == "https://bid.example"
    assert load({"NEIGHBORBID_HOME": str(home)}).accounts.verify_email is False
    assert load({"NEIGHBORBID_HOME": str(home)}).limits.quota_factor == 100


def keys_of(environ: dict[str, str], name: str) -> tuple[tuple[str, bytes], ...]:
    settings = load(environ)
    given = (settings.keys.tokens, settings.keys.secrets, settings.keys.handovers)
    return tuple(dict(zip(KEYS, given, strict=True))[name].items())


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_read_in_order_and_generated_for_development_only(home: Path, name: str) -> None:
    environ = {"NEIGHBORBID_HOME": str(home), name: f"new:{KEY}, old:{'B' * 42}A="}
    (new, key), (old, _) = keys_of(environ, name)
    assert (new, key, old) == ("new", bytes(32), "old")

    (generated,) = keys_of({"NEIGHBORBID_HOME": str(home)}, name)
    assert len(generated[1]) == 32
    production = {"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_ENVIRONMENT": "production"}
    assert f"{name} must be set in production." in problems_of(production)


@pytest.mark.parametrize("name", SINGLE_KEYS)
def test_a_single_key_is_read_or_made_once_for_development(home: Path, name: str) -> None:
    def key_of(environ: dict[str, str]) -> bytes:
        keys = load({"NEIGHBORBID_HOME": str(home), **environ}).keys
        key = getattr(keys, name.removeprefix("NEIGHBORBID_").removesuffix("_KEY").lower())
        assert isinstance(key, bytes)
        return key

    assert key_of({name: f"{'A' * 42}E"}) == bytes(31) + b"\x01"
    assert not (home / "var" / "secrets" / name.removeprefix("NEIGHBORBID_").lower()).exists()
    assert key_of({}) == key_of({})
    assert len(key_of({})) == 32
    without = {key: value for key, value in PRODUCTION.items() if key != name}
    assert problems_of({"NEIGHBORBID_HOME": str(home), **without}) == [f"{name} must be set in production."]
    for wrong in (f"{'s3cret' * 7}", "A" * 44, f"one:{SINGLE_KEY}"):
        assert problems_of({"NEIGHBORBID_HOME": str(home), name: wrong}) == [
            f"{name} must be 32 bytes in base64url."
        ]


@pytest.mark.parametrize("number", [0, P256_ORDER, 2**256 - 1])
def test_a_number_that_is_no_key_of_web_push_is_a_problem(home: Path, number: int) -> None:
    text = urlsafe_b64encode(number.to_bytes(32)).decode().rstrip("=")
    assert problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_PUSH_KEY": text}) == [
        "NEIGHBORBID_PUSH_KEY must be a private key of P-256."
    ]


def test_no_generated_key_serves_two_purposes(settings: Settings) -> None:
    rings = (settings.keys.tokens, settings.keys.secrets, settings.keys.handovers)
    keys = {key for ring in rings for key in ring.values()}
    assert len(keys | {settings.keys.push, settings.keys.unsubscribe, settings.keys.trace}) == 6


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("keys", [f"one:{'A' * 42}", f"one:{'A' * 42}!", KEY, f":{KEY}", f"a b:{KEY}"])
def test_a_key_that_is_too_short_or_malformed_is_a_problem_and_is_not_shown(
    home: Path, keys: str, name: str
) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), name: keys})
    assert problem.startswith(f"{name} must list")
    assert "A" * 42 not in problem


@pytest.mark.parametrize("name", KEYS)
def test_two_keys_of_one_name_are_a_problem(home: Path, name: str) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), name: f"one:{KEY},one:{KEY}"})
    assert problem == f"{name} must use each kid only once."


@pytest.mark.parametrize("name", MAIL)
def test_production_must_be_able_to_send_mail_with_links_that_work(home: Path, name: str) -> None:
    environ = {"NEIGHBORBID_HOME": str(home), **PRODUCTION, name: ""}
    assert problems_of(environ) == [f"{name} must be set in production."]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NEIGHBORBID_SMTP_URL", "http://mail.example"),
        ("NEIGHBORBID_MAIL_FROM", "nobody"),
        ("NEIGHBORBID_MAIL_FROM", "a@example.org\nBcc: b@example.org"),
        ("NEIGHBORBID_PUBLIC_URL", "bid.example"),
        ("NEIGHBORBID_PUBLIC_URL", "https://bid.example/path"),
        ("NEIGHBORBID_VERIFY_EMAIL", "yes"),
    ],
)
def test_settings_of_mail_are_checked(home: Path, name: str, value: str) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), name: value})
    assert problem.startswith(f"{name} must ")


def test_mails_link_to_the_gateway_unless_told_otherwise(home: Path) -> None:
    settings = load({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_HTTP_PORT": "8088"})
    assert settings.gateway.public_url == settings.gateway.url == "http://127.0.0.1:8088"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://a%40b:p%3A%2F@mail.example", Smtp("mail.example", 465, "tls", "a@b", "p:/")),
        ("smtp://mail.example", Smtp("mail.example", 587, "starttls")),
        ("smtp://mail.example:25", Smtp("mail.example", 25, "starttls")),
        ("smtp://localhost:25", Smtp("localhost", 25, "none")),
        ("smtp://127.0.0.1:25", Smtp("127.0.0.1", 25, "none")),
        ("smtp://[::1]:25", Smtp("::1", 25, "none")),
    ],
)
def test_mail_takes_the_way_that_the_url_says(url: str, server: Smtp) -> None:
    assert smtp(url) == server


def test_without_a_server_mails_become_files(settings: Settings) -> None:
    assert post_office(settings).transport == Folder(settings.var / "mail")


def test_media_are_on_local_disk_by_default(settings: Settings) -> None:
    assert (settings.media.s3, settings.media.base, settings.media.origins) == (None, "/media", ())
    assert isinstance(media.connect(settings), LocalMedia)
    assert isinstance(media.connect(settings), LocalMedia), "with the same secret"


@pytest.mark.parametrize(
    ("environ", "base", "origins"),
    [
        (
            {"S3_BUCKET": "shop", "S3_REGION": "eu-west-1"},
            "https://shop.s3.eu-west-1.amazonaws.com",
            ("https://shop.s3.eu-west-1.amazonaws.com",),
        ),
        (
            {"S3_BUCKET": "shop", "S3_ENDPOINT": "http://10.0.0.1:9000"},
            "http://10.0.0.1:9000/shop",
            ("http://10.0.0.1:9000",),
        ),
        (
            {"S3_BUCKET": "shop", "S3_ENDPOINT": "https://s3.example", "MEDIA_URL": "https://cdn.example/x"},
            "https://cdn.example/x",
            ("https://cdn.example", "https://s3.example"),
        ),
    ],
)
def test_a_bucket_says_where_pages_must_be_let(
    home: Path, environ: dict[str, str], base: str, origins: tuple[str, ...]
) -> None:
    given = {f"NEIGHBORBID_{name}": value for name, value in {"MEDIA": "s3", **environ}.items()}
    settings = load({"NEIGHBORBID_HOME": str(home), **given})
    assert (settings.media.base, settings.media.origins) == (base, origins)
    uploads = media.connect(settings)
    assert isinstance(uploads, S3Media)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_BUCKET", ""),
        ("S3_BUCKET", "Shop"),
        ("S3_BUCKET", "shop/../x"),
        ("S3_REGION", "x;y"),
        ("S3_ENDPOINT", "https://s3.example/path"),
        ("S3_ENDPOINT", "https://key:secret@s3.example"),
        ("MEDIA_URL", "https://cdn.example/"),
        ("MEDIA_URL", "https://cdn.example; script-src *"),
        ("MEDIA_URL", "javascript:alert(1)"),
    ],
)
def test_what_is_no_bucket_is_a_problem(home: Path, name: str, value: str) -> None:
    given = {"MEDIA": "s3", "S3_BUCKET": "shop", name: value}
    environ = {f"NEIGHBORBID_{name}": value for name, value in given.items()}
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), **environ})
    assert problem.startswith(f"NEIGHBORBID_{name} must be")


def test_a_bucket_needs_its_backend(home: Path) -> None:
    (problem,) = problems_of({"NEIGHBORBID_HOME": str(home), "NEIGHBORBID_S3_BUCKET": "shop"})
    assert problem.endswith("need NEIGHBORBID_MEDIA=s3.")


def test_web_push_is_signed_by_the_key_of_the_settings(settings: Settings, home: Path) -> None:
    first, again = web_push(settings), web_push(settings)
    assert len(first.public_key) == 87
    assert again.public_key == first.public_key
    assert (first.contact, first.private_allowed) == ("mailto:neighborbid@localhost", True)
    secret = home / "var" / "secrets" / "push_key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.read_text() not in repr(first)
    production = load({"NEIGHBORBID_HOME": str(home), **PRODUCTION})
    assert not web_push(production).private_allowed
    assert web_push(production).public_key != first.public_key


def test_links_that_end_e_mails_are_signed_alike_by_all_processes(settings: Settings) -> None:
    assert post_office(settings).unsubscribe_key == settings.keys.unsubscribe
    assert repr(settings.keys.unsubscribe) not in repr(post_office(settings))


def test_every_setting_is_documented_and_nothing_else() -> None:
    reader = Reader({}, lambda _name, _size: KEY)
    Settings.read(reader)
    section = (REPO / "docs" / "operations.md").read_text().partition("\n## Settings\n")[2]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    assert {name for cell in cells for name in re.findall("`([A-Z0-9_]+)`", cell)} == reader.known
