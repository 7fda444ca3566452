"""Celery's entry point: `celery -A server.worker worker` and `celery -A server.worker beat`."""

import logging
import sys
import warnings

from celery.exceptions import SecurityWarning
from celery.signals import setup_logging

from server import logs, media, settings
from server.senders import post_office, web_push
from tasks.app import app, configure

__all__ = ["app"]

# Whether to be root is up to the operator who runs `up` (docs/operations.md); tasks are JSON, never code.
warnings.filterwarnings("ignore", category=SecurityWarning)
_settings = settings.load_or_exit()
configure(
    database_url=_settings.postgres.url,
    redis_url=_settings.redis.url,
    broker_url=_settings.redis.broker_url,
    post=post_office(_settings),
    web_push=web_push(_settings),
    media=media.connect(_settings),
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(**_: object) -> None:
    """Connecting to this signal also keeps Celery from setting up its own logging."""
    names = {"beat": "beat", "write_back": "writer", "photos": "photos", "post": "post"}
    name = next((name for word, name in names.items() if word in sys.argv), "worker")
    logs.configure(name, _settings.log_level)
    if _settings.log_level != "debug":
        # Three lines for every periodic task, some of which run each second. Failures are still logged.
        for logger in ("celery.beat", "celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(logger).setLevel(logging.WARNING)
