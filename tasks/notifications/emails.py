"""Sending the e-mails that transactions have left to be sent: those of accounts and those of notifications."""

import smtplib
import time

import structlog

from market.notifications import account_emails, deliveries
from market.notifications.account_emails import EmailClaim
from store.models import Channel
from tasks.app import POST, Resources, periodic
from tasks.exclusive_runs import RUN_S, alone
from tasks.notifications.push_deliveries import note_failure

log = structlog.get_logger()

RUNNING = "mail:running"
"""The key in Redis that a run holds: a second one would only wait for the same server."""

PERMANENT = 500
"""Answers of a mail server from here on stay the same (RFC 5321)."""


@periodic("tasks.mail.send_due", every_s=1, queue=POST)
def send_due(resources: Resources) -> None:
    """Send every e-mail that is due. What cannot be sent is tried again, or given up, and keeps no other waiting."""
    with alone(resources.hot, RUNNING) as is_alone:
        end = time.monotonic() + RUN_S
        waiting = is_alone
        while waiting and time.monotonic() < end:
            # By turns, so that many of one kind keep none of the other waiting.
            waiting = any([send_next(resources), send_next_notices(resources)])


def send_next(resources: Resources) -> bool:
    """Send the next e-mail that is due; whether there was one. Its token is committed before it leaves."""
    with resources.database.transaction() as session:
        claim = account_emails.claim(session)
    if not isinstance(claim, EmailClaim):
        return claim is not None
    try:
        resources.post.send(claim)
    # Whatever is wrong with this e-mail, the next must get its turn.
    except Exception as error:
        _note_failure(resources, claim, error)
        return True
    with resources.database.transaction() as session:
        account_emails.sent(session, claim)
    return True


def send_next_notices(resources: Resources) -> bool:
    """Send the next e-mail of notifications that is due; whether there was anything."""
    with resources.database.transaction() as session:
        claim = deliveries.claim(session, Channel.EMAIL)
    if claim is None or not claim.notices:
        return claim is not None
    try:
        resources.post.send_notices(claim)
    # As above.
    except Exception as error:
        note_failure(resources, claim, _reason(error), final=_is_final(error))
        return True
    with resources.database.transaction() as session:
        deliveries.sent(session, claim)
    return True


def _reason(error: Exception) -> str:
    """Not what the server said: it may repeat addresses, or the mail."""
    return " ".join([type(error).__name__, *map(str, sorted(_codes(error)))])


def _codes(error: Exception) -> set[int]:
    """What a mail server answered."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return {code for code, _ in error.recipients.values()}
    return {error.smtp_code} if isinstance(error, smtplib.SMTPResponseException) else set()


def _is_final(error: Exception) -> bool:
    """Whether the server wants neither this recipient nor this e-mail, however often it is asked. Any other refusal,
    such as of our password, is about us."""
    about_this = isinstance(error, (smtplib.SMTPRecipientsRefused, smtplib.SMTPDataError))
    return about_this and min(_codes(error), default=0) >= PERMANENT


def _note_failure(resources: Resources, claim: EmailClaim, error: Exception) -> None:
    reason = _reason(error)
    with resources.database.transaction() as session:
        dead = account_emails.failed(session, claim, reason, _is_final(error))
    if dead:
        log.error("mail_given_up", mail=str(claim.id), kind=claim.kind, reason=reason)
    else:
        log.warning("mail_failed", mail=str(claim.id), kind=claim.kind, attempt=claim.attempt, reason=reason)
