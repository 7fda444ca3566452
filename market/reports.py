"""What users want moderators to look at."""

from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market import orders
from market.errors import Refusal
from market.times import to_ms
from store.ids import new_id
from store.models import Auction, AuctionStatus, ChatMessage, Question, Report, ReportKind, ReportReason, User


class ReportView(msgspec.Struct, frozen=True):
    """A report as its author sees it. `subject_id` is what it is about, `created_at` in ms."""

    id: UUID
    kind: ReportKind
    subject_id: UUID
    reason: ReportReason
    text: str
    created_at: int


def make(
    session: Session, user_id: UUID, kind: ReportKind, subject_id: UUID, reason: ReportReason, text: str
) -> ReportView:
    """Report something that the user can see; the first report of a user about the same thing stays.

    Refuses with `not_found`, or `forbidden` for what is the user's own.
    """
    if _author(session, user_id, kind, subject_id) == user_id:
        raise Refusal("forbidden", "This is your own.")
    session.execute(
        insert(Report)
        .values(id=new_id(), reporter_id=user_id, kind=kind, subject_id=subject_id, reason=reason, text=text)
        .on_conflict_do_nothing()
    )
    report = session.scalars(
        select(Report).where(
            Report.reporter_id == user_id, Report.kind == kind, Report.subject_id == subject_id
        )
    ).one()
    return ReportView(
        report.id,
        ReportKind(report.kind),
        report.subject_id,
        ReportReason(report.reason),
        report.text,
        to_ms(report.created_at),
    )


def _author(session: Session, user_id: UUID, kind: ReportKind, subject_id: UUID) -> UUID:
    """Whose it is. Refuses with `not_found`, also for what the user cannot see."""
    if kind == ReportKind.MESSAGE:
        message = session.get(ChatMessage, subject_id)
        if message is not None:
            orders.own(session, user_id, message.order_id)
            return message.sender_id
    elif kind == ReportKind.QUESTION:
        question = session.get(Question, subject_id)
        if question is not None and question.hidden_at is None:
            return question.asker_id
    elif kind == ReportKind.USER:
        if session.get(User, subject_id) is not None:
            return subject_id
    else:
        auction = session.get(Auction, subject_id)
        if auction is not None and auction.status != AuctionStatus.DRAFT:
            return auction.seller_id
    raise Refusal("not_found", "There is no such thing to report.")
