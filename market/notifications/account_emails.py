"""The e-mails that wait to be sent, and the tokens in them. Time is PostgreSQL's clock.

An e-mail is written by the transaction that causes it, and claimed and sent by a task. Whom it is for is found when it
is claimed, so that writing one takes the same work whether or not anybody has the address.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from market.times import clock
from store import outbox
from store.models import AccountEmail, AccountEmailKind, EmailToken, EmailTokenPurpose, Language, User

HOURLY = 5
"""So many e-mails an hour that anybody can cause go to one address; those above are dropped, unless they report what
has happened to the account."""

KEEP_DAYS = 30

LIFETIME = {EmailTokenPurpose.VERIFY: timedelta(hours=24), EmailTokenPurpose.RESET: timedelta(minutes=30)}
"""How long a token counts from when its e-mail is sent."""

_PURPOSES = {
    AccountEmailKind.VERIFY: EmailTokenPurpose.VERIFY,
    AccountEmailKind.RESET: EmailTokenPurpose.RESET,
}


@dataclass(frozen=True, slots=True)
class EmailClaim:
    """An e-mail to be sent now. `token` stands nowhere else."""

    id: UUID
    address: str
    kind: AccountEmailKind
    language: Language
    caused_at: datetime
    attempt: int
    token: str | None


class Dropped:
    """An e-mail that need not be sent, or could not be, and waits no more."""


def write(session: Session, kind: AccountEmailKind, address: str) -> None:
    """Have an e-mail sent, once this transaction is committed, if the address is a user's."""
    session.execute(insert(AccountEmail).values(kind=kind, address=address.lower()))


def claim(session: Session) -> EmailClaim | Dropped | None:
    """The next e-mail to be sent, or None. Commit, send, then say `sent` or `failed`.

    One that is for nobody, not needed any more or too much for its address is deleted, and one that processes died of
    too often is given up: `Dropped`, to be committed before the next is asked for. So no transaction has to go through
    all of these.
    """
    due = (
        (AccountEmail.due_at <= func.now()) & AccountEmail.sent_at.is_(None) & AccountEmail.dead_at.is_(None)
    )
    first = (
        select(AccountEmail)
        .where(due)
        .order_by(AccountEmail.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    mail = session.scalar(first)
    if mail is None:
        return None
    # A user who is locked is being deleted, together with this e-mail: to wait would be a deadlock.
    user = session.execute(
        select(User.id, User.language, User.email_verified_at)
        .where(User.email == mail.address)
        .with_for_update(read=True, key_share=True, skip_locked=True)
    ).one_or_none()
    verified = user is not None and user.email_verified_at is not None
    if user is None or (mail.kind == AccountEmailKind.VERIFY and verified) or _is_too_much(session, mail):
        session.delete(mail)
        return Dropped()
    if not outbox.take(mail, clock(session)):
        return Dropped()
    kind = mail.kind
    token = _new_token(session, user.id, _PURPOSES[kind]) if kind in _PURPOSES else None
    language = user.language
    return EmailClaim(mail.id, mail.address, kind, language, mail.created_at, mail.attempts, token)


def _is_too_much(session: Session, mail: AccountEmail) -> bool:
    if mail.kind == AccountEmailKind.PASSWORD_CHANGED:
        return False
    sent = select(func.count()).where(
        AccountEmail.address == mail.address,
        AccountEmail.kind != AccountEmailKind.PASSWORD_CHANGED,
        AccountEmail.sent_at > func.now() - timedelta(hours=1),
    )
    return session.scalars(sent).one() >= HOURLY


def _new_token(session: Session, user_id: UUID, purpose: EmailTokenPurpose) -> str:
    """A token that voids the one before."""
    token = secrets.token_urlsafe(32)
    values = {"token_hash": hash_of(token), "expires_at": func.now() + LIFETIME[purpose]}
    session.execute(
        postgresql.insert(EmailToken)
        .values(user_id=user_id, purpose=purpose, **values)
        .on_conflict_do_update(index_elements=[EmailToken.user_id, EmailToken.purpose], set_=values)
    )
    return token


def hash_of(token: str) -> bytes:
    """What is stored of a token."""
    return sha256(token.encode()).digest()


def sent(session: Session, claim: EmailClaim) -> None:
    """Note that the e-mail was sent."""
    outbox.note_sent(session, AccountEmail, [claim.id], clock(session))


def failed(session: Session, claim: EmailClaim, error: str, final: bool = False) -> bool:
    """Note that the e-mail could not be sent, and try again later unless that is `final`. Whether it is given up
    instead."""
    now = clock(session)
    return outbox.note_failed(session, AccountEmail, [claim.id], claim.attempt, error, now, final=final) > 0


def void_resets(session: Session, user_id: UUID, address: str) -> None:
    """Make every reset that was asked for until now worthless, also those whose e-mail is not sent yet. The caller has
    locked the user's row."""
    waiting = (AccountEmail.kind == AccountEmailKind.RESET) & AccountEmail.sent_at.is_(None)
    session.execute(delete(AccountEmail).where(AccountEmail.address == address, waiting))
    token = (EmailToken.user_id == user_id) & (EmailToken.purpose == EmailTokenPurpose.RESET)
    session.execute(delete(EmailToken).where(token))


def forget_user(session: Session, user_id: UUID, address: str) -> None:
    """Delete every e-mail to a user, and every token."""
    session.execute(delete(AccountEmail).where(AccountEmail.address == address))
    session.execute(delete(EmailToken).where(EmailToken.user_id == user_id))


def forget_old(session: Session) -> None:
    """Delete e-mails and tokens that have served their time. Dead e-mails are kept as long as the others."""
    session.execute(
        delete(AccountEmail).where(AccountEmail.created_at < func.now() - timedelta(days=KEEP_DAYS))
    )
    session.execute(delete(EmailToken).where(EmailToken.expires_at <= func.now()))
