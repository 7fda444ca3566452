"""Sending the mails that transactions have left to be sent: those of accounts first, then those of notifications."""

import smtplib
import time

import structlog

from market import deliveries, mails
from market.mails import Claim
from store.models import Channel
from tasks.app import Resources, periodic
from tasks.deliveries import note_failure
from tasks.turns import RUN_S, alone

log = structlog.get_logger()

RUNNING = "mail:running"
"""The key in Redis that a run holds: a second one would only wait for the same server."""


@periodic(every_s=1)
def send_due(resources: Resources) -> None:
    """Send every mail that is due. What cannot be sent is tried again, or given up, and keeps no other waiting."""
    with alone(resources.hot, RUNNING) as is_alone:
        end = time.monotonic() + RUN_S
        while is_alone and time.monotonic() < end:
            if not send_next(resources) and not send_next_notices(resources):
                break


def send_next(resources: Resources) -> bool:
    """Send the next mail that is due; whether there was one. Its token is committed before it leaves."""
    with resources.database.transaction() as session:
        claim = mails.claim(session)
    if claim is None:
        return False
    try:
        resources.post.send(claim)
    # Whatever is wrong with this mail, the next must get its turn.
    except Exception as error:
        _note_failure(resources, claim, error)
        return True
    with resources.database.transaction() as session:
        mails.sent(session, claim)
    return True


def send_next_notices(resources: Resources) -> bool:
    """Send the next e-mail of notifications that is due; whether there was one."""
    with resources.database.transaction() as session:
        claim = deliveries.claim(session, Channel.EMAIL)
    if claim is None:
        return False
    try:
        resources.post.send_notices(claim)
    # As above.
    except Exception as error:
        reason = _reason(error)
        with resources.database.transaction() as session:
            dead = deliveries.failed(session, claim, reason)
        note_failure(claim, reason, dead)
        return True
    with resources.database.transaction() as session:
        deliveries.sent(session, claim)
    return True


def _reason(error: Exception) -> str:
    """Not what the server said: it may repeat addresses, or the mail."""
    code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
    return type(error).__name__ + code


def _note_failure(resources: Resources, claim: Claim, error: Exception) -> None:
    reason = _reason(error)
    with resources.database.transaction() as session:
        dead = mails.failed(session, claim, reason)
    if dead:
        log.error("mail_given_up", mail=str(claim.id), kind=claim.kind, reason=reason)
    else:
        log.warning("mail_failed", mail=str(claim.id), kind=claim.kind, attempt=claim.attempt, reason=reason)
