"""Sending notifications by Web Push; `tasks.notifications.emails` sends those that go by e-mail."""

import time
from collections import defaultdict
from datetime import timedelta
from itertools import islice
from uuid import UUID

import msgspec
import structlog

from market.notifications import deliveries
from market.notifications.deliveries import SUPERSEDED_BY, DeliveryClaim
from market.notifications.texts import push_message
from market.times import to_ms
from store.models import SECURITY, Channel, Event
from tasks.app import POST, Resources, periodic
from tasks.exclusive_runs import RUN_S, alone
from tasks.senders.web_push import TTL_S, Answer, Message

log = structlog.get_logger()

RUNNING = "web_push:running"

AT_ONCE = 50
"""Users whose messages are sent at the same time. If none of their browsers answers, that takes 25 s."""

URGENT = SECURITY | {Event.OUTBID, Event.ENDING_SOON, Event.WON}
"""What wakes a device that saves its battery."""

FLEETING = SUPERSEDED_BY.keys() | set().union(*SUPERSEDED_BY.values())
"""What takes the place of another one about the same auction, or may lose it."""


@periodic("tasks.deliveries.push_due", every_s=1, queue=POST)
def push_due(resources: Resources) -> None:
    """Send all Web Push that is due. What cannot be sent is tried again, or given up, and keeps no other waiting."""
    with alone(resources.hot, RUNNING) as is_alone:
        end = time.monotonic() + RUN_S
        while is_alone and time.monotonic() < end and push_next(resources):
            pass


def push_next(resources: Resources) -> bool:
    """Send what is due to the next `AT_ONCE` users; whether there was anything."""
    with resources.database.transaction() as session:
        claims = list(islice(iter(lambda: deliveries.claim(session, Channel.PUSH), None), AT_ONCE))
    written: list[tuple[DeliveryClaim, list[Message]]] = []
    for claim in claims:
        try:
            written.append((claim, _messages(claim, resources.post.url) if claim.notices else []))
        # Whatever is wrong with one, the others must get their turn.
        except Exception as error:
            note_failure(resources, claim, type(error).__name__)
    answers = iter(resources.web_push.send([message for _, messages in written for message in messages]))
    for claim, messages in written:
        if messages:
            _note(resources, claim, {browser.id: next(answers) for browser in claim.browsers})
    return bool(claims)


def _messages(claim: DeliveryClaim, url: str) -> list[Message]:
    """The same for every browser of the user."""
    text = msgspec.json.encode(push_message(claim.notices, claim.locale, url))
    newest = claim.notices[0]
    topic, ttl_s = None, TTL_S
    # What is overtaken while the browser is away need not be shown when it is back.
    if len(claim.notices) == 1 and newest.event in FLEETING and newest.auction_id is not None:
        topic = newest.auction_id.hex
    end = newest.data.get("ends_at")
    if newest.event == Event.ENDING_SOON and isinstance(end, int):
        ttl_s = max(0, min(TTL_S, (end - to_ms(claim.at)) // 1000))
    urgent = any(notice.event in URGENT for notice in claim.notices)
    return [
        Message(browser.endpoint, browser.p256dh, browser.auth, text, urgent, topic, ttl_s)
        for browser in claim.browsers
    ]


def _note(resources: Resources, claim: DeliveryClaim, answers: dict[UUID, Answer]) -> None:
    """One browser that was reached is enough. Without any it is tried again, unless all have unsubscribed."""
    by_outcome: dict[str, list[UUID]] = defaultdict(list)
    for browser_id, answer in answers.items():
        by_outcome["reached" if answer.taken else "gone" if answer.gone else "failed"].append(browser_id)
    failures = [answers[browser_id] for browser_id in by_outcome["failed"]]
    reason = ", ".join(sorted({answer.error for answer in failures}))
    with resources.database.transaction() as session:
        deliveries.note_browsers(session, by_outcome["reached"], by_outcome["gone"], by_outcome["failed"])
        if by_outcome["reached"]:
            deliveries.sent(session, claim)
            return
    # The next claim deletes what has no browser left.
    wait = timedelta(seconds=max((answer.retry_after_s for answer in failures), default=0))
    note_failure(resources, claim, reason or "gone", wait)


def note_failure(
    resources: Resources,
    claim: DeliveryClaim,
    reason: str,
    wait: timedelta = timedelta(0),
    final: bool = False,
) -> None:
    """Have what could not be sent tried again, after `wait` at least, or if that is `final` given up; and log it."""
    with resources.database.transaction() as session:
        dead = deliveries.failed(session, claim, reason, wait, final)
    if dead:
        log.error("notifications_given_up", user=str(claim.user_id), count=dead, reason=reason)
    else:
        log.warning("notifications_not_sent", user=str(claim.user_id), attempt=claim.attempt, reason=reason)
