"""What the tokens in e-mails are good for: confirming an address, and choosing a new password for a forgotten one.

An address may be anybody's. So nothing here tells whether it has an account, not even by the work it takes.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from market.accounts import accounts, sessions
from market.accounts.accounts import NewUser
from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal, Refusal
from market.notifications import account_emails
from market.platform import settings
from store.models import AccountEmailKind, EmailToken, EmailTokenPurpose, User


@dataclass(frozen=True, slots=True)
class Person:
    """Who may choose a new password."""

    email: str
    display_name: str


def sign_up(session: Session, new: NewUser, *, verify: bool) -> None:
    """Make a user, who is sent an e-mail to `verify` the address or else needs none. If the address has an account, its
    owner is notified by e-mail. Refuses with `switched_off`."""
    settings.require(session, "registrations")
    made = accounts.register(session, new, verified=not verify)
    if made is None:
        account_emails.write(session, AccountEmailKind.ADDRESS_TAKEN, new.email)
    elif verify:
        account_emails.write(session, AccountEmailKind.VERIFY, new.email)


def send_verification(session: Session, user_id: UUID) -> str:
    """Send the e-mail that verifies the user's address, which is answered. Refuses with `email_verified`."""
    user = session.get_one(User, user_id)
    if user.email_verified_at is not None:
        raise Refusal(AccountRefusal.EMAIL_VERIFIED)
    account_emails.write(session, AccountEmailKind.VERIFY, user.email)
    return user.email


def verify(session: Session, token: str) -> None:
    """Confirm the address to which the token was sent. Refuses with `invalid_token`."""
    _redeem(session, EmailTokenPurpose.VERIFY, token).email_verified_at = func.now()


def forgot(session: Session, email: str) -> None:
    """Send the e-mail that lets the owner of the address choose a new password, if there is one."""
    account_emails.write(session, AccountEmailKind.RESET, email)


def may_reset(session: Session, token: str) -> Person:
    """Who may choose a new password by this token. Refuses with `invalid_token`."""
    found = select(User.email, User.display_name).join(EmailToken, EmailToken.user_id == User.id)
    row = session.execute(found.where(_good(EmailTokenPurpose.RESET, token))).one_or_none()
    if row is None:
        raise Refusal(GeneralRefusal.INVALID_TOKEN)
    return Person(row.email, row.display_name)


def reset(session: Session, token: str, password_hash: str) -> UUID:
    """Give the owner of the token a new password, and end all sessions. The owner's id. The address is verified, too:
    the e-mail has arrived. Refuses with `invalid_token`."""
    user = _redeem(session, EmailTokenPurpose.RESET, token)
    user.password_hash = password_hash
    if user.email_verified_at is None:
        user.email_verified_at = func.now()
    accounts.password_was_changed(session, user.id, user.email)
    sessions.revoke_all(session, user.id)
    return user.id


def _redeem(session: Session, purpose: EmailTokenPurpose, token: str) -> User:
    """Use the token up. Its owner, whose row is locked first, as by changes of the password and deletions."""
    whose = select(EmailToken.user_id).where(_good(purpose, token)).scalar_subquery()
    user = session.scalar(select(User).where(User.id == whose).with_for_update(key_share=True))
    used = delete(EmailToken).where(_good(purpose, token)).returning(EmailToken.user_id)
    if user is None or session.scalar(used, execution_options={"synchronize_session": False}) is None:
        raise Refusal(GeneralRefusal.INVALID_TOKEN)
    return user


def _good(purpose: EmailTokenPurpose, token: str) -> ColumnElement[bool]:
    return (
        (EmailToken.token_hash == account_emails.hash_of(token))
        & (EmailToken.purpose == purpose)
        & (EmailToken.expires_at > func.now())
    )
