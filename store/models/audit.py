"""What those with a role have done."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from store.ids import new_id
from store.models.base import Base


class AuditEntry(Base):
    """An action of somebody with a role, written by the transaction of the action. Append-only: grants and a trigger
    forbid changes.

    Without an `actor_id` it was the operator on the machine, and `operator` is the name of the account there. What was
    acted upon is named by its kind (`user`, `order`, ...) and id, or code. `before` and `after` have the same members,
    those that changed; null where there was nothing. Neither holds a secret.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint("(actor_id IS NULL) <> (operator IS NULL)", name="actor"),
        Index("ix_audit_log_actor_id_id", "actor_id", "id"),
        Index("ix_audit_log_subject_id_id", "subject_id", "id"),
        Index("ix_audit_log_action_id", "action", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    actor_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    operator: Mapped[str | None]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    reason: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
