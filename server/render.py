"""Renders the configuration of Nginx and supervisord from the settings, and publishes the static files.

Templates live in conf/nginx; `@@{name}` marks a value, so that Nginx's own `$variables` stay as they are.
"""

import grp
import json
import os
import pwd
import re
import resource
import shutil
from pathlib import Path
from string import Template

from market.listings.images import MAX_BYTES
from server import binaries
from server.embedded import user_for
from server.settings import REPO, Settings

POSTGRES_PROGRAM = """\
[program:postgresql]
command={postgres} -D {data}
directory={data}
{user}
priority=10
autorestart=true
startretries=1000
; SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait until every client has left.
stopsignal=INT
stopwaitsecs=60
stdout_logfile={log_dir}/postgresql.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
redirect_stderr=true
"""

REDIS_PROGRAM = """\
[program:redis]
command={redis_server} {conf}
directory={directory}
{user}
priority=20
autorestart=true
startretries=1000
stopwaitsecs=60
stdout_logfile={log_dir}/redis.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=5
redirect_stderr=true
"""


PROBLEMS = {
    400: ("bad_request", "We could not understand this request."),
    404: ("not_found", "We could not find what you asked for."),
    405: ("method_not_allowed", "This address does not offer this method."),
    413: ("body_too_large", "The body is larger than this address takes."),
    414: ("uri_too_long", "The address is longer than 4 KiB."),
    429: ("rate_limited", "You are sending too many requests. Wait a moment and try again."),
    431: ("headers_too_large", "The request headers are larger than 8 KiB."),
    500: ("internal_error", "Something went wrong on our side. If you report it, include the request id."),
    502: ("unavailable", "The service cannot be reached at the moment. Try again shortly."),
    503: ("unavailable", "The service is not ready yet. Try again shortly."),
    504: (
        "timeout",
        "The service did not answer in time. Check whether your request went through, then try again.",
    ),
}
"""What the gateway itself answers: status, code and sentence."""

BEFORE_AN_ADDRESS = {400, 414, 431}
"""What a request may get before Nginx knows its address. Without one it cannot enter a named location."""

NGINX_STATUS = {403: 404, 494: 431, 497: 400}
"""What Nginx says of a directory, of headers that are too large and of plain HTTP on the port of TLS, and what we say
instead."""

HSTS = "max-age=31536000"


class NginxTemplate(Template):
    """`@@{name}` is a value; `$name` belongs to Nginx."""

    delimiter = "@@"


def nginx(settings: Settings, program: Path) -> Path:
    """Writes HOME/var/etc/nginx, as this Nginx wants it, and returns the path of its nginx.conf."""
    state = settings.state_dir / "nginx"
    state.mkdir(parents=True, exist_ok=True)
    # Left behind by a power cut, it may name a process group of somebody else by now.
    (state / "nginx.pid").unlink(missing_ok=True)
    user = user_for("nginx")
    values = {
        "user": "" if user is None else f"user {user} {grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name};",
        "state": str(state),
        # Nginx's own "info" tells of every connection that a client closes.
        "log_level": {"debug": "info", "info": "notice", "warning": "warn", "error": "error"}[
            settings.log_level
        ],
        **_tls(settings, binaries.nginx_version(program)),
        "api_rate": settings.limits.requests_per_s,
        "api_burst": 2 * settings.limits.requests_per_s,
        "auth_rate": settings.limits.auth_requests_per_minute,
        "auth_burst": max(5, settings.limits.auth_requests_per_minute // 3),
        "handshake_rate": settings.limits.handshakes_per_s,
        "handshake_burst": 2 * settings.limits.handshakes_per_s,
        "connections": settings.limits.connections,
        "cors_origins": "\n".join(
            f'        "~^/api/[^ ]* {re.escape(origin)}$" "{origin}";'
            for origin in settings.gateway.allowed_origins
        ),
        "web": str(settings.state_dir / "web"),
        "media": str(settings.media_dir),
        "media_origins": "".join(f" {origin}" for origin in settings.media.origins),
        "upload_size": MAX_BYTES,
        "rest_servers": _upstream(settings.rest.hosts),
        "realtime_servers": _upstream(settings.realtime.hosts),
        "problems": _problems(),
    }
    target = settings.var / "etc" / "nginx"
    target.mkdir(parents=True, exist_ok=True)
    for template in sorted((REPO / "conf" / "nginx").glob("*.conf")):
        (target / template.name).write_text(NginxTemplate(template.read_text()).substitute(values))
    return target / "nginx.conf"


def _upstream(hosts: tuple[str, ...]) -> str:
    # A refused connection costs nothing on one machine: leave a failed process out for a second, not Nginx's ten.
    return "\n".join(f"        server {host} max_fails=1 fail_timeout=1s;" for host in hosts)


def _tls(settings: Settings, version: tuple[int, ...]) -> dict[str, str]:
    """The values that depend on whether there is a certificate. Without one, the files about TLS are not included."""
    plain = f"{settings.gateway.http_host}:{settings.gateway.http_port}"
    tls = settings.gateway.tls_certificate is not None
    stapling = ""
    if settings.gateway.tls_chain is not None:
        stapling = f"ssl_stapling on;\nssl_stapling_verify on;\nssl_trusted_certificate {settings.gateway.tls_chain};"
    # From 1.25.1 on HTTP/2 is a directive of its own, and the word after `listen` brings a warning.
    listen_http2, http2 = ("", "        http2 on;\n") if version >= (1, 25, 1) else (" http2", "")
    listen_tls = f"{settings.gateway.http_host}:{settings.gateway.https_port} ssl{listen_http2}"
    return {
        "listen": listen_tls if tls else plain,
        "tls": f"{http2}        include tls.conf;" if tls else "",
        "redirect": "    include redirect.conf;" if tls else "",
        "hsts": HSTS if tls else "",
        "plain_listen": plain,
        "tls_port_suffix": "" if settings.gateway.https_port == 443 else f":{settings.gateway.https_port}",
        "tls_certificate": str(settings.gateway.tls_certificate or ""),
        "tls_key": str(settings.gateway.tls_key or ""),
        "stapling": stapling,
    }


def _problems() -> str:
    """The pages of all statuses in PROBLEMS, as Nginx text."""
    pages = {**{status: status for status in PROBLEMS}, **NGINX_STATUS}
    places = {
        page: f"/problems/{page}" if page in BEFORE_AN_ADDRESS else f"@problem_{page}" for page in PROBLEMS
    }
    # Without "=" Nginx would make its own statuses a 400.
    lines = [f"error_page {status} ={page} {places[page]};" for status, page in pages.items()]
    for status, (code, detail) in PROBLEMS.items():
        place = places[status]
        lines += [
            f"location {place} {{" if place.startswith("@") else f"location = {place} {{",
            *([] if place.startswith("@") else ["    internal;"]),
            # Else the type would come from the ending of the address.
            "    types { }",
            "    default_type application/problem+json;",
            f"    return {status} '{_problem(status, code, detail)}';",
            "}",
        ]
    return "\n".join(f"        {line}" for line in lines)


def _problem(status: int, code: str, detail: str) -> str:
    """A problem document with the members that handlers/http/problems.py gives, as Nginx text between single quotes."""
    return json.dumps(
        {
            "type": f"/problems/{code}",
            "title": code.replace("_", " ").capitalize(),
            "status": status,
            "detail": detail,
            "code": code,
            "instance": "$problem_instance",
            "request_id": "$request_id",
        }
    )


def publish_web(settings: Settings) -> None:
    """Copies web/ to where Nginx's unprivileged workers may read it: the checkout may lie in a private directory."""
    target = settings.state_dir / "web"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(REPO / "web", target)


def supervisord(
    settings: Settings, programs: dict[str, Path], data: Path | None, redis_conf: Path | None
) -> Path:
    """Writes the embedded servers' programs and returns the supervisord.conf to start with.

    supervisord finds its files beside its configuration (`%(here)s`), so a HOME other than the checkout gets a copy.
    """
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    (settings.var / "run").mkdir(parents=True, exist_ok=True)
    target = settings.var / "etc" / "supervisord"
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*.conf"):
        stale.unlink()
    if data is not None:
        text = POSTGRES_PROGRAM.format(
            postgres=programs["postgres"], data=data, user=_user_line("postgresql"), log_dir=settings.log_dir
        )
        (target / "postgresql.conf").write_text(text)
    if redis_conf is not None:
        text = REDIS_PROGRAM.format(
            redis_server=programs["redis-server"],
            conf=redis_conf,
            directory=redis_conf.parent,
            user=_user_line("redis"),
            log_dir=settings.log_dir,
        )
        (target / "redis.conf").write_text(text)
    conf = settings.home / "supervisord.conf"
    if settings.home != REPO:
        shutil.copyfile(REPO / "supervisord.conf", conf)
    return conf


def _user_line(program: str) -> str:
    user = user_for(program)
    return f"user={user}" if user else ""


def supervisord_environ(settings: Settings, programs: dict[str, Path]) -> dict[str, str]:
    """The environment that supervisord.conf takes its values from and that every process inherits."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    most_files = 65536 if hard_limit == resource.RLIM_INFINITY else min(65536, hard_limit)
    return {
        **os.environ,
        "NEIGHBORBID_HOME": str(settings.home),
        "NEIGHBORBID_LOG_LEVEL": settings.log_level,
        "NEIGHBORBID_REST_PROCESSES": str(settings.rest.processes),
        "NEIGHBORBID_REST_PORT": str(settings.rest.port),
        "NEIGHBORBID_REALTIME_PROCESSES": str(settings.realtime.processes),
        "NEIGHBORBID_REALTIME_PORT": str(settings.realtime.port),
        "NEIGHBORBID_WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "NGINX_PROGRAM": str(programs["nginx"]),
        "NGINX_STATE": str(settings.state_dir / "nginx"),
        "OPEN_FILES": str(most_files),
        "PYTHONPATH": str(REPO),
    }
