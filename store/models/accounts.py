"""People: their accounts, log-ins, second factors, e-mails, and the answers that are kept for their requests."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    Index,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base, Outgoing, WordOf, one_of

TRUST = (
    "(200 * (12 + stars - reviews + completed_orders) + 20 + 4 * reviews + completed_orders + 8 * no_shows)"
    " / (2 * (20 + 4 * reviews + completed_orders + 8 * no_shows))"
)
"""100 times a weighted mean, rounded: a review weighs 4 and says (stars - 1) / 4, a completed order weighs 1 and says
1, a no-show weighs 8 and says 0, and what everybody begins with weighs 20 and says 0.6."""


class Role(StrEnum):
    """What a user may do: also all that those before it may. Everybody buys and sells; the others also look after the
    platform."""

    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        roles = list(Role)
        return roles.index(self) >= roles.index(other)


class Language(StrEnum):
    """What a user wants to be written in."""

    ENGLISH = "en"
    KOREAN = "ko"


class User(Base):
    """A person who buys and sells. `email` is stored in lower case.

    `version` grows by every change. The row of a deleted account stays, without anything personal, because bids, orders
    and the ledger refer to it.

    `completed_orders`, `no_shows`, `reviews` and `stars` (the sum over the reviews that are visible) count what speaks
    for and against the person; docs/api.md explains the `trust` (0 to 100) that PostgreSQL makes of them.
    """

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role),
        one_of("language", Language),
        Index("ix_users_email_prefix", "email", postgresql_ops={"email": "text_pattern_ops"}),
        Index(
            "ix_users_name_prefix",
            func.lower(text("display_name")).label("name"),
            postgresql_ops={"name": "text_pattern_ops"},
        ),
        Index("ix_users_staff", "role", "id", postgresql_where=text("role <> 'user'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    display_name: Mapped[str]
    bio: Mapped[str] = mapped_column(server_default="")
    role: Mapped[Role] = mapped_column(WordOf(Role), server_default="user")
    banned_at: Mapped[datetime | None]
    suspended_until: Mapped[datetime | None]
    """Until then the user may look, but neither bid nor sell."""
    language: Mapped[Language] = mapped_column(WordOf(Language), server_default="en")
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_orders: Mapped[int] = mapped_column(server_default="0")
    no_shows: Mapped[int] = mapped_column(server_default="0")
    reviews: Mapped[int] = mapped_column(server_default="0")
    stars: Mapped[int] = mapped_column(server_default="0")
    trust: Mapped[int] = mapped_column(Computed(TRUST, persisted=True))
    version: Mapped[int] = mapped_column(server_default="1", onupdate=text("version + 1"))
    deleted_at: Mapped[datetime | None]


class Session(Base):
    """A log-in. Of its refresh tokens only SHA-256 are stored: of the family, the current part and the one before.

    The next part is the HMAC of the current one under `refresh_key`, which alone is worth nothing. `expires_at` moves
    with each use, at most to `ends_at`. `told_at` is when the sockets were notified of a revocation.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("expires_at <= ends_at", name="times"),
        Index(
            "ix_sessions_untold",
            "revoked_at",
            postgresql_where=text("revoked_at IS NOT NULL AND told_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), index=True)
    family_hash: Mapped[bytes] = mapped_column(unique=True)
    refresh_hash: Mapped[bytes]
    previous_hash: Mapped[bytes | None]
    refresh_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    refreshed_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(index=True)
    ends_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]


class SecondFactor(Base):
    """What a user's log-in takes beside the password, once it is confirmed: codes made from a secret (TOTP).

    The secret is sealed by `store.vault` under the key `kid`. `last_step` is the time step of the last code that was
    accepted; `failures` counts the wrong ones since then, and none is looked at before `blocked_until`.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    kid: Mapped[str]
    sealed_secret: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    blocked_until: Mapped[datetime | None]


class RecoveryCode(Base):
    """The SHA-256 of a code for a user who has lost the second factor. It is deleted by its use."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("second_factors.user_id", ondelete="CASCADE"), primary_key=True
    )
    code_hash: Mapped[bytes] = mapped_column(primary_key=True)


class EmailTokenPurpose(StrEnum):
    """What the token in an e-mail is good for."""

    VERIFY = "verify"
    RESET = "reset"


class EmailToken(Base):
    """The SHA-256 of the token in the last e-mail of its purpose: a newer one voids it, and its use deletes it."""

    __tablename__ = "email_tokens"
    __table_args__ = (one_of("purpose", EmailTokenPurpose),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    purpose: Mapped[EmailTokenPurpose] = mapped_column(WordOf(EmailTokenPurpose), primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    expires_at: Mapped[datetime]


class AccountEmailKind(StrEnum):
    """What an e-mail is about."""

    VERIFY = "verify"
    RESET = "reset"
    ADDRESS_TAKEN = "address_taken"
    """Somebody has tried to register with the address of an account."""
    PASSWORD_CHANGED = "password_changed"  # noqa: S105


class AccountEmail(Outgoing, Base):
    """An e-mail to be sent at `due_at`, written by the transaction that causes it.

    It has neither text nor secret, and its `address` may be nobody's: whom it is for is found when it is sent.
    """

    __tablename__ = "account_emails"
    __table_args__ = (
        one_of("kind", AccountEmailKind),
        CheckConstraint("sent_at IS NULL OR dead_at IS NULL", name="end"),
        Index(
            "ix_account_emails_due_at", "due_at", postgresql_where=text("sent_at IS NULL AND dead_at IS NULL")
        ),
        Index("ix_account_emails_address_sent_at", "address", "sent_at"),
    )

    address: Mapped[str]
    kind: Mapped[AccountEmailKind] = mapped_column(WordOf(AccountEmailKind))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Block(Base):
    """`blocker_id` wants nothing to do with `blocked_id`."""

    __tablename__ = "blocks"

    blocker_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    blocked_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
