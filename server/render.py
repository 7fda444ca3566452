"""Renders the configuration of Nginx and supervisord from the settings, and publishes the static files.

Templates live in conf/nginx; `@@{name}` marks a value, so that Nginx's own `$variables` stay as they are.
"""

import grp
import json
import os
import pwd
import resource
import shutil
from pathlib import Path
from string import Template

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


class NginxTemplate(Template):
    """`@@{name}` is a value; `$name` belongs to Nginx."""

    delimiter = "@@"


def nginx(settings: Settings) -> Path:
    """Writes HOME/var/etc/nginx and returns the path of its nginx.conf."""
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
        "listen": f"{settings.http_host}:{settings.http_port}",
        "web": str(settings.state_dir / "web"),
        "rest_servers": _upstream(settings.rest_hosts),
        "realtime_servers": _upstream(settings.realtime_hosts),
        "problem_413": _problem(413, "body_too_large", "The request body is larger than 1 MiB."),
        "problem_502": _problem(502, "unavailable", "The service cannot be reached. Please try again."),
        "problem_503": _problem(503, "unavailable", "The service is not ready. Please try again."),
        "problem_504": _problem(504, "timeout", "The service did not answer in time."),
    }
    target = settings.var / "etc" / "nginx"
    target.mkdir(parents=True, exist_ok=True)
    for template in sorted((REPO / "conf" / "nginx").glob("*.conf")):
        (target / template.name).write_text(NginxTemplate(template.read_text()).substitute(values))
    return target / "nginx.conf"


def _upstream(hosts: tuple[str, ...]) -> str:
    # A refused connection costs nothing on one machine: leave a failed process out for a second, not Nginx's ten.
    return "\n".join(f"        server {host} max_fails=1 fail_timeout=1s;" for host in hosts)


def _problem(status: int, code: str, detail: str) -> str:
    """A problem document with the members that handlers/problems.py gives, as Nginx text between single quotes."""
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
        "NEIGHBORBID_REST_PROCESSES": str(settings.rest_processes),
        "NEIGHBORBID_REST_PORT": str(settings.rest_port),
        "NEIGHBORBID_REALTIME_PROCESSES": str(settings.realtime_processes),
        "NEIGHBORBID_REALTIME_PORT": str(settings.realtime_port),
        "NEIGHBORBID_WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "NGINX_PROGRAM": str(programs["nginx"]),
        "NGINX_STATE": str(settings.state_dir / "nginx"),
        "OPEN_FILES": str(most_files),
        "PYTHONPATH": str(REPO),
    }
