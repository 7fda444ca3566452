"""The private PostgreSQL and Redis: data directories, configuration, and the application's role and database.

Both listen on 127.0.0.1 only and ask for a generated password. supervisord runs them, as an unprivileged user when
the system is started by root. Everything here may run again at any time and changes only what differs.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql

from server.errors import Failure
from server.settings import Settings
from server.settings.secret_files import secret

POSTGRES_CONF = """\
# Rendered by ./neighborbid up.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
password_encryption = 'scram-sha-256'
fsync = {fsync}
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
"""

REDIS_CONF = """\
# Rendered by ./neighborbid up.
bind 127.0.0.1
port {port}
requirepass {password}
dir {directory}
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


def user_for(program: str) -> str | None:
    """Whom a server runs as: its packaged user, else nobody, when we are root; None (ourselves) otherwise."""
    if os.geteuid() != 0:
        return None
    candidates = {"postgresql": ["postgres"], "redis": ["redis"], "nginx": ["www-data", "nginx"]}[program]
    existing = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in candidates if name in existing), "nobody")


def private_dir(path: Path, user: str | None) -> Path:
    """Makes a directory that only its user may enter. Directories above it are made enterable by all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    path.mkdir(exist_ok=True, mode=0o700)
    if user is not None:
        shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


def prepare_postgres(settings: Settings, initdb: Path) -> Path:
    """Makes the cluster at the first start and renders its configuration; returns the data directory.

    Raises Failure when initdb fails.
    """
    user = user_for("postgresql")
    data = private_dir(settings.state_dir / "postgresql", user) / "data"
    if not (data / "PG_VERSION").exists():
        # Under another name until it is complete: an interrupted initdb is not a cluster.
        draft = data.with_name("draft")
        shutil.rmtree(draft, ignore_errors=True)
        _initdb(initdb, draft, user, secret(settings.home, "postgres-superuser"), settings.postgres.fsync)
        with (draft / "postgresql.conf").open("a") as main_conf:
            main_conf.write("\ninclude = 'neighborbid.conf'\n")
        draft.rename(data)
    fsync = "on" if settings.postgres.fsync else "off"
    conf = data / "neighborbid.conf"
    conf.write_text(POSTGRES_CONF.format(port=settings.postgres.port, fsync=fsync))
    return data


def _initdb(initdb: Path, data: Path, user: str | None, password: str, fsync: bool) -> None:
    """initdb refuses to run as root and reads the superuser's password from a file."""
    with tempfile.NamedTemporaryFile("w", prefix="neighborbid-") as file:
        file.write(password)
        file.flush()
        command = [
            str(initdb),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            f"--pwfile={file.name}",
        ]
        command += ["-E", "UTF8", "--locale=C.UTF-8"] + ([] if fsync else ["--no-sync"])
        if user is not None:
            shutil.chown(file.name, user)
            group = pwd.getpwnam(user).pw_gid
            command = ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--", *command]
        done = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Failure("PostgreSQL's initdb failed.", done.stdout)


def prepare_redis(settings: Settings) -> Path:
    """Makes the data directory and renders the configuration; returns the configuration's path."""
    user = user_for("redis")
    directory = private_dir(settings.state_dir / "redis", user)
    conf = directory / "redis.conf"
    # It holds the password: created with the mode that keeps it private, before a byte is written.
    conf.touch(mode=0o600)
    conf.write_text(
        REDIS_CONF.format(
            port=settings.redis.port, password=secret(settings.home, "redis"), directory=directory
        )
    )
    if user is not None:
        shutil.chown(conf, user)
    return conf


def create_database(settings: Settings, timeout_s: float) -> None:
    """Waits for the embedded PostgreSQL and makes the login role and the database that it owns.

    The role may create databases and roles (migrations make `neighborbid_app`) but is no superuser.
    Raises Failure when the server does not accept connections in time.
    """
    superuser = superuser_url(settings)
    wait_for_postgres(superuser, timeout_s)
    role, password = sql.Identifier("neighborbid"), sql.Literal(secret(settings.home, "postgres"))
    with psycopg.connect(superuser, autocommit=True) as connection:
        exists = (
            connection.execute("SELECT FROM pg_roles WHERE rolname = 'neighborbid'").fetchone() is not None
        )
        verb = sql.SQL("ALTER" if exists else "CREATE")
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}").format(verb, role, password)
        )
        if connection.execute("SELECT FROM pg_database WHERE datname = 'neighborbid'").fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def superuser_url(settings: Settings) -> str:
    """How the superuser of the embedded PostgreSQL logs in."""
    password = secret(settings.home, "postgres-superuser")
    return f"postgresql://postgres:{password}@127.0.0.1:{settings.postgres.port}/postgres"


def wait_for_postgres(conninfo: str, timeout_s: float) -> None:
    """Returns when PostgreSQL accepts a connection. Raises Failure with its last answer after the timeout."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            psycopg.connect(conninfo, connect_timeout=5).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise Failure("PostgreSQL does not accept connections.", str(error)) from error
            time.sleep(0.1)
