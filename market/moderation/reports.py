"""What users want moderators to look at, and what moderators say to it."""

from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.orders import orders, reviews
from market.pages import Page, decode_cursor, list_page, page_of, window
from market.times import to_ms
from store.ids import new_id
from store.models import (
    Auction,
    AuctionStatus,
    ChatMessage,
    Question,
    Report,
    ReportKind,
    ReportOutcome,
    ReportReason,
    Review,
    User,
)

_SUBJECTS: dict[ReportKind, tuple[InstrumentedAttribute[UUID], InstrumentedAttribute[str]]] = {
    ReportKind.AUCTION: (Auction.seller_id, Auction.title),
    ReportKind.MESSAGE: (ChatMessage.sender_id, ChatMessage.text),
    ReportKind.QUESTION: (Question.asker_id, Question.text),
    ReportKind.REVIEW: (Review.author_id, Review.text),
    ReportKind.USER: (User.id, User.display_name),
}
"""Of what can be reported: whose it is, and what it says."""


class OpenReports(msgspec.Struct, frozen=True):
    """All open reports about one thing. `id` is the oldest one's; times in ms. `owner_id` is whose thing it is, and
    `text` what it says: the title of an auction, a message, question or review, the name of a user."""

    id: UUID
    kind: ReportKind
    subject_id: UUID
    owner_id: UUID
    text: str
    count: int
    reasons: list[ReportReason]
    first_at: int
    last_at: int


class ReportEntry(msgspec.Struct, frozen=True):
    """A report as moderators see it; times in ms. It is open while it has no `outcome`."""

    id: UUID
    reporter_id: UUID
    reason: ReportReason
    text: str
    created_at: int
    outcome: ReportOutcome | None
    resolved_at: int | None


class Resolved(msgspec.Struct, frozen=True):
    """How many reports about one thing were resolved, and how."""

    id: UUID
    outcome: ReportOutcome
    count: int


class ReportView(msgspec.Struct, frozen=True):
    """A report, without its reporter. `subject_id` is what it is about, `created_at` in ms."""

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
        raise Refusal(GeneralRefusal.FORBIDDEN, "You cannot report something of your own.")
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
    return view(report)


def view(report: Report) -> ReportView:
    """The report as its author and the moderators see it."""
    return ReportView(
        report.id,
        report.kind,
        report.subject_id,
        report.reason,
        report.text,
        to_ms(report.created_at),
    )


def queue(session: Session, cursor: str | None, limit: int) -> Page[OpenReports]:
    """What waits for a moderator, one item for each thing, the longest waiting first. Refuses with `invalid_cursor`."""
    older = aliased(Report)
    same = (older.kind == Report.kind, older.subject_id == Report.subject_id, older.resolved_at.is_(None))
    query = select(Report).where(Report.resolved_at.is_(None), ~exists().where(*same, older.id < Report.id))
    last = None if cursor is None else [decode_cursor(cursor, UUID)]
    first = window(query, [Report.id], last, limit, ascending=True).subquery()
    grouped = (
        select(
            first.c.id,
            first.c.kind,
            first.c.subject_id,
            func.coalesce(*(owner for owner, _ in _SUBJECTS.values())).label("owner_id"),
            func.coalesce(*(text for _, text in _SUBJECTS.values())).label("text"),
            func.count(Report.id).label("number"),
            func.array_agg(Report.reason.distinct()).label("reasons"),
            func.min(Report.created_at).label("first_at"),
            func.max(Report.created_at).label("last_at"),
        )
        .join(Report, (Report.kind == first.c.kind) & (Report.subject_id == first.c.subject_id))
        .where(Report.resolved_at.is_(None))
        .group_by(first.c.id, first.c.kind, first.c.subject_id)
        .order_by(first.c.id)
    )
    for kind, (owner, _) in _SUBJECTS.items():
        thing = owner.class_
        grouped = grouped.outerjoin(thing, (first.c.kind == kind) & (thing.id == first.c.subject_id))
        grouped = grouped.group_by(thing.id)
    rows = session.execute(grouped).all()
    views = [
        OpenReports(
            id=row.id,
            kind=row.kind,
            subject_id=row.subject_id,
            owner_id=row.owner_id,
            text=row.text,
            count=row.number,
            reasons=row.reasons,
            first_at=to_ms(row.first_at),
            last_at=to_ms(row.last_at),
        )
        for row in rows
    ]
    return page_of(views, limit, lambda view: view.id)


def about(session: Session, report_id: UUID, cursor: str | None, limit: int) -> Page[ReportEntry]:
    """The reports, resolved ones too, about the thing that this one is about, oldest first.

    Refuses with `not_found` or `invalid_cursor`.
    """
    report = _found(session, report_id)
    query = select(Report).where(Report.kind == report.kind, Report.subject_id == report.subject_id)
    return list_page(session, query, _entry, Report.id, cursor, limit, ascending=True)


def resolve(session: Session, actor: Actor, report_id: UUID, outcome: ReportOutcome, reason: str) -> Resolved:
    """Say what becomes of all open reports about the thing that this one is about.

    Refuses with `not_found`, `forbidden` (the thing is the actor's own), or `wrong_state` if none is open (any more).
    """
    report = _found(session, report_id)
    owner, _ = _SUBJECTS[report.kind]
    audit.require_impartial(actor, session.scalar(select(owner).where(owner.class_.id == report.subject_id)))
    resolved = session.scalars(
        update(Report)
        .where(
            Report.kind == report.kind,
            Report.subject_id == report.subject_id,
            Report.resolved_at.is_(None),
        )
        .values(resolved_at=func.now(), outcome=outcome, resolver_id=actor.user_id)
        .returning(Report.id),
        execution_options={"synchronize_session": False},
    ).all()
    if not resolved:
        raise Refusal(GeneralRefusal.WRONG_STATE, "These reports have already been resolved.")
    changed = {"outcome": outcome, "reports": len(resolved)}
    subject = Subject(report.kind, report.subject_id)
    audit.record(session, actor, "resolve_reports", subject, reason, None, changed)
    return Resolved(report_id, outcome, len(resolved))


def concerning(user_id: UUID) -> ColumnElement[bool]:
    """Which reports are about a user, or about what is the user's."""
    return or_(
        *(
            and_(Report.kind == kind, exists().where(owner.class_.id == Report.subject_id, owner == user_id))
            for kind, (owner, _) in _SUBJECTS.items()
        )
    )


def _found(session: Session, report_id: UUID) -> Report:
    report = session.get(Report, report_id)
    if report is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return report


def _entry(report: Report) -> ReportEntry:
    return ReportEntry(
        report.id,
        report.reporter_id,
        report.reason,
        report.text,
        to_ms(report.created_at),
        report.outcome,
        None if report.resolved_at is None else to_ms(report.resolved_at),
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
    elif kind == ReportKind.REVIEW:
        review = session.scalar(select(Review).where(Review.id == subject_id, reviews.shown()))
        if review is not None:
            return review.author_id
    elif kind == ReportKind.USER:
        if session.get(User, subject_id) is not None:
            return subject_id
    else:
        auction = session.get(Auction, subject_id)
        if auction is not None and auction.status != AuctionStatus.DRAFT:
            return auction.seller_id
    raise Refusal(GeneralRefusal.NOT_FOUND)
