"""A Celery entry point for tests: `server.worker` without the settings of a whole system."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from store.media.local import LocalMedia
from tasks.app import app, configure
from tasks.senders.smtp import Folder, PostOffice
from tasks.senders.web_push import WebPush
from tasks.watchdog import SILENCE_S

__all__ = ["app"]

configure(
    database_url=os.environ["DATABASE_URL"],
    redis_url=os.environ["REDIS_URL"],
    broker_url=os.environ["REDIS_URL"],
    media=LocalMedia(Path(os.environ["MEDIA_ROOT"]), b"no uploads here"),
    post=PostOffice(
        Folder(Path(os.environ["MAIL_DIR"])), "from@example.org", "https://bid.example", b"a key"
    ),
    web_push=WebPush(ec.generate_private_key(ec.SECP256R1()), "mailto:us@example.org"),
    silence_s=float(os.environ.get("SILENCE_S", SILENCE_S)),
)
