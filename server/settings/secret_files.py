"""Secrets that nobody had to think up: made once, kept in HOME/var/secrets."""

import contextlib
import os
import secrets
from pathlib import Path


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
