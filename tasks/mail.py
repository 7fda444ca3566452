"""Sending the mails that transactions have left to be sent."""

import smtplib
import time

import structlog

from market import mails
from market.mails import Claim
from tasks.app import Resources, periodic
from tasks.turns import RUN_S, alone

log = structlog.get_logger()

RUNNING = "mail:running"
"""The key in Redis that a run holds: a second one would only wait for the same server."""


@periodic(every_s=1)
def send_due(resources: Resources) -> None:
    """Send every mail that is due. What cannot be sent is tried again, or given up, and keeps no other waiting."""
    with alone(resources.hot, RUNNING) as is_alone:
        end = time.monotonic() + RUN_S
        while is_alone and time.monotonic() < end and send_next(resources):
            pass


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


def _note_failure(resources: Resources, claim: Claim, error: Exception) -> None:
    # Not what the server said: it may repeat addresses, or the mail.
    reason = type(error).__name__
    if isinstance(error, smtplib.SMTPResponseException):
        reason += f" {error.smtp_code}"
    with resources.database.transaction() as session:
        dead = mails.failed(session, claim, reason)
    if dead:
        log.error("mail_given_up", mail=str(claim.id), kind=claim.kind, reason=reason)
    else:
        log.warning("mail_failed", mail=str(claim.id), kind=claim.kind, attempt=claim.attempt, reason=reason)
