"""Deleting what has served its time."""

import time

from market import account_deletion, idempotency
from market.notifications import account_emails, notifications
from tasks.app import Resources, periodic
from tasks.exclusive_runs import RUN_S


@periodic("tasks.upkeep.forget_idempotency_keys", every_s=600)
def forget_idempotency_keys(resources: Resources) -> None:
    """Delete the answers that no client asks for again."""
    with resources.database.transaction() as session:
        idempotency.forget_old(session)


@periodic("tasks.upkeep.forget_mails", every_s=600)
def forget_mails(resources: Resources) -> None:
    """Delete old e-mails, and tokens that are good for nothing any more."""
    with resources.database.transaction() as session:
        account_emails.forget_old(session)


@periodic("tasks.upkeep.forget_notifications", every_s=600)
def forget_notifications(resources: Resources) -> None:
    """Delete old notifications."""
    end, more = time.monotonic() + RUN_S, True
    while more and time.monotonic() < end:
        with resources.database.transaction() as session:
            more = notifications.forget_old(session)


@periodic("tasks.upkeep.forget_messages", every_s=600)
def forget_messages(resources: Resources) -> None:
    """Empty what users wrote in chats before their accounts were deleted, once it is no evidence any more."""
    with resources.database.transaction() as session:
        account_deletion.forget_messages(session)
