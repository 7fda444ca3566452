"""The Celery application, and how a function becomes a task.

A task is a plain function of `Resources`: it opens a unit of work, calls a use-case, commits, and does what must
follow. Tasks carry ids only; running one twice, late, out of order or not at all changes nothing, because what a
lost message leaves undone is found by the next periodic run. So messages are acknowledged early and expire after a
few seconds: after a pause they do not pile up.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Concatenate, ParamSpec

from celery import Celery

from store.database import SyncDatabase
from store.effects import StartTask
from store.media.interface import Media
from store.redis.clients import SyncHot
from tasks.senders.smtp import PostOffice
from tasks.senders.web_push import WebPush
from tasks.watchdog import SILENCE_S, Watchdog

P = ParamSpec("P")

EXPIRES_S = 10
"""The least age at which a periodic message is dropped unread: the clocks of two machines may differ by as much."""

DEFAULT = "default"
WRITE_BACK = "write_back"
"""A queue of its own, so that no other work delays the write-back."""

PHOTOS = "photos"
"""Likewise: pictures take seconds of computing, and auctions must close meanwhile."""

POST = "post"
"""Likewise: mail servers and push services may take as long as they like to answer."""

TIME_LIMIT_S = 120
"""A task that takes longer is killed with its process. Long runs stop by themselves much earlier."""

MAX_CHILD_KB = 500_000
"""A worker process that has grown beyond this is replaced after its task."""

_REDIS_TRANSPORT = {
    # Unacknowledged messages come back after this; tasks are acknowledged when they start, so none waits for long.
    "visibility_timeout": 3600,
    # Longer than a blocking read waits, so that only a dead connection reaches it: without, a worker stays silent
    # for ever on one that is half open.
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    # The event loop waits without a timeout: only the kernel notices that the other machine is gone.
    "socket_keepalive_options": {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3},
    "health_check_interval": 10,
}


@dataclass(frozen=True, slots=True)
class Resources:
    """What tasks work with."""

    database: SyncDatabase
    hot: SyncHot
    media: Media
    post: PostOffice
    web_push: WebPush


@dataclass(slots=True)
class _Places:
    database_url: str = ""
    redis_url: str = ""
    media: Media | None = None
    post: PostOffice | None = None
    web_push: WebPush | None = None


_places = _Places()

app = Celery(
    "neighborbid",
    include=[
        "tasks.bidding.hot_state",
        "tasks.analytics.platform_stats",
        "tasks.notifications.push_deliveries",
        "tasks.notifications.emails",
        "tasks.bidding.neighbourhood",
        "tasks.orders.orders",
        "tasks.listings.photos",
        "tasks.platform.settings",
        "tasks.bidding.reminders",
        "tasks.accounts.sessions",
        "tasks.bidding.settlement",
        "tasks.moderation.fraud_signals",
        "tasks.platform.upkeep",
        "tasks.bidding.write_back",
    ],
)
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    result_backend=None,
    task_ignore_result=True,
    enable_utc=True,
    timezone="UTC",
    beat_schedule={},
    task_default_queue=DEFAULT,
    task_acks_late=False,
    task_time_limit=TIME_LIMIT_S,
    worker_prefetch_multiplier=1,
    worker_max_memory_per_child=MAX_CHILD_KB,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    # Concerns tasks that acknowledge late, so none; unset, Celery warns at every lost connection.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
)


def configure(
    *,
    database_url: str,
    redis_url: str,
    broker_url: str,
    media: Media,
    post: PostOffice,
    web_push: WebPush,
    silence_s: float = SILENCE_S,
) -> None:
    """Say where everything is. Connects to nothing: every process does, when it runs its first task. A worker that
    hears nothing for `silence_s` ends."""
    Watchdog(silence_s).connect()
    _places.database_url, _places.redis_url = database_url, redis_url
    _places.media, _places.post, _places.web_push = media, post, web_push
    app.conf.broker_url = broker_url
    app.conf.broker_transport_options = _REDIS_TRANSPORT if broker_url.startswith("redis") else {}


@cache
def resources() -> Resources:
    """This process's own connections, made when first asked for: after the fork."""
    assert _places.media is not None
    assert _places.post is not None
    assert _places.web_push is not None
    hot = SyncHot.connect(_places.redis_url)
    database = SyncDatabase(_places.database_url, hot, start)
    return Resources(database, hot, _places.media, _places.post, _places.web_push)


def task(
    name: str,
) -> Callable[[Callable[Concatenate[Resources, P], None]], Callable[Concatenate[Resources, P], None]]:
    """Make a task of a function, which stays callable as it is.

    Messages call the task by its `name`. It never changes, wherever the function moves: else a message that the version
    before has queued would find no task.
    """

    def decorate(
        function: Callable[Concatenate[Resources, P], None],
    ) -> Callable[Concatenate[Resources, P], None]:
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            function(resources(), *args, **kwargs)

        app.task(run, name=name)
        return function

    return decorate


def periodic(
    name: str, every_s: float, queue: str = DEFAULT
) -> Callable[[Callable[[Resources], None]], Callable[[Resources], None]]:
    """Make a task of a function, to be run every `every_s` seconds. The `name` as for `task`."""

    def decorate(function: Callable[[Resources], None]) -> Callable[[Resources], None]:
        app.conf.beat_schedule[name] = {
            "task": name,
            "schedule": every_s,
            "options": {"queue": queue, "expires": max(every_s, EXPIRES_S)},
        }
        return task(name)(function)

    return decorate


def start(effect: StartTask) -> None:
    """Leave a task to a worker."""
    app.send_task(effect.name, [effect.argument])
