"""Finds the programs of PostgreSQL, Redis and Nginx, and installs what is missing: as root with apt, otherwise
from downloaded Debian packages unpacked beside .venv. A system instance is never started or touched.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from server.errors import Failure
from server.settings import REPO

PACKAGES = {
    "postgres": "postgresql",
    "initdb": "postgresql",
    "redis-server": "redis-server",
    "nginx": "nginx",
}
# Like .venv it belongs to the checkout, whatever HOME is: the tests' instances use it too.
PREFIX = REPO / "var" / "prefix"
POLICY = Path("/usr/sbin/policy-rc.d")
NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/neighborbid.conf")


def require(programs: list[str], say: Callable[[str], None]) -> dict[str, Path]:
    """The path of each program, after installing what was missing. Raises Failure that says what to install."""
    missing = _missing(programs)
    if missing:
        packages = sorted({PACKAGES[program] for program in missing})
        say(f"Installing {', '.join(packages)}")
        advice = f"Please install {', '.join(packages)} with your system's package manager and try again."
        if shutil.which("apt-get") is None:
            raise Failure(f"Could not find {' and '.join(missing)}, and this system has no apt. {advice}")
        try:
            if os.geteuid() == 0:
                _install(packages)
            else:
                _unpack(packages)
        except subprocess.CalledProcessError as error:
            raise Failure(f"Could not install {', '.join(packages)}. {advice}", error.stdout) from error
        still_missing = _missing(programs)
        if still_missing:
            raise Failure(f"Could not find {' and '.join(still_missing)} after the installation. {advice}")
    found = {program: _find(program) for program in programs}
    paths = {program: path for program, path in found.items() if path is not None}
    if "redis-server" in paths:
        _require_redis_7(paths["redis-server"])
    return paths


def _missing(programs: list[str]) -> list[str]:
    return [program for program in programs if _find(program) is None]


def _find(program: str) -> Path | None:
    """PATH first; Debian keeps PostgreSQL's programs out of it, and a user's PATH often lacks sbin."""
    places = [
        *os.environ.get("PATH", "").split(":"),
        "/usr/local/sbin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/bin",
    ]
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    places += map(str, sorted(versions, key=lambda path: int(path.parent.name.split(".")[0]), reverse=True))
    places.append(str(PREFIX / "bin"))
    found = shutil.which(program, path=":".join(places))
    return Path(found) if found else None


def _require_redis_7(path: Path) -> None:
    version = _run([str(path), "--version"])
    match = re.search(r"v=(\d+)", version)
    if match is None or int(match[1]) < 7:
        raise Failure(
            f"Redis 7 or newer is required (sharded pub/sub), but {path} reports: {version.strip()}"
        )


def nginx_version(path: Path) -> tuple[int, ...]:
    """The version that the program says it has, as numbers. Raises Failure when it says none."""
    answer = _run([str(path), "-v"])
    match = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", answer)
    if match is None:
        raise Failure(f"Could not find the version of Nginx in what {path} reports: {answer.strip()}")
    return tuple(map(int, match.groups()))


def _install(packages: list[str]) -> None:
    apt = ["apt-get", "-y", "-q", "-o", "DPkg::Lock::Timeout=120"]
    with _no_autostart():
        _run([*apt, "update"])
        _run([*apt, "install", "--no-install-recommends", *packages])


@contextmanager
def _no_autostart() -> Iterator[None]:
    """Keeps new packages from starting a system instance or making a cluster; restores what was there before."""
    before = (POLICY.read_bytes(), POLICY.stat().st_mode) if POLICY.exists() else None
    made_dirs = [path for path in (NO_CLUSTER.parent, NO_CLUSTER.parent.parent) if not path.exists()]
    NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    try:
        NO_CLUSTER.write_text("create_main_cluster = false\n")
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
        yield
    finally:
        NO_CLUSTER.unlink(missing_ok=True)
        for path in made_dirs:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        if before is None:
            POLICY.unlink(missing_ok=True)
        else:
            POLICY.write_bytes(before[0])
            POLICY.chmod(before[1])


def _unpack(packages: list[str]) -> None:
    """Downloads the packages with their missing dependencies and unpacks them: needs no privileges."""
    plan = _run(["apt-get", "install", "--print-uris", "-y", "-qq", "--no-install-recommends", *packages])
    # A line is: 'uri' file_version_arch.deb size hash; only the name is of interest.
    names = sorted({line.split()[1].split("_")[0] for line in plan.splitlines() if line.startswith("'")})
    downloads = PREFIX / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", "-q", *names], cwd=downloads)
    for package in sorted(downloads.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(PREFIX)])
    shutil.rmtree(downloads)
    libraries = sorted({str(path.parent) for path in PREFIX.glob("**/lib*.so.*")})
    programs = [
        *PREFIX.glob("usr/lib/postgresql/*/bin/*"),
        *PREFIX.glob("usr/bin/*"),
        *PREFIX.glob("usr/sbin/*"),
    ]
    (PREFIX / "bin").mkdir(exist_ok=True)
    for program in programs:
        if program.name in PACKAGES:
            wrapper = PREFIX / "bin" / program.name
            # By the name it was found under: one file is several of Redis' programs and asks for its name.
            wrapper.write_text(
                f"#!/bin/sh\nLD_LIBRARY_PATH='{':'.join(libraries)}' exec '{program}' \"$@\"\n"
            )
            wrapper.chmod(0o755)


def _run(command: list[str], cwd: Path | None = None) -> str:
    """Runs without stdin and returns the output; raises CalledProcessError with stderr merged into stdout."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout
