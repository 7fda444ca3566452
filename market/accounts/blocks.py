"""Whom a user wants nothing to do with: no messages, questions or bids. What is bought already is carried
through."""

from uuid import UUID

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.accounts.refusals import AccountRefusal
from market.errors import GeneralRefusal, Refusal
from market.pages import Page, list_page
from market.times import to_ms
from store.models import Block, User


class BlockView(msgspec.Struct, frozen=True):
    """A user whom you have blocked, since `created_at` (ms)."""

    user_id: UUID
    display_name: str
    created_at: int


def put(session: Session, user_id: UUID, blocked_id: UUID) -> None:
    """Block somebody; again changes nothing. Refuses with `not_found` or `forbidden` (yourself)."""
    if user_id == blocked_id:
        raise Refusal(GeneralRefusal.FORBIDDEN, "You cannot block yourself.")
    if session.get(User, blocked_id) is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    session.execute(insert(Block).values(blocker_id=user_id, blocked_id=blocked_id).on_conflict_do_nothing())


def remove(session: Session, user_id: UUID, blocked_id: UUID) -> None:
    """Block somebody no longer. Refuses with `not_found`."""
    gone = session.scalar(
        delete(Block)
        .where(Block.blocker_id == user_id, Block.blocked_id == blocked_id)
        .returning(Block.blocked_id)
    )
    if gone is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)


def page(session: Session, user_id: UUID, cursor: str | None, limit: int) -> Page[BlockView]:
    """Whom the user has blocked. Refuses with `invalid_cursor`."""
    query = (
        select(Block, User.display_name)
        .join(User, User.id == Block.blocked_id)
        .where(Block.blocker_id == user_id)
    )
    return list_page(session, query, _view, Block.blocked_id, cursor, limit, ascending=True)


def _view(block: Block, name: str) -> BlockView:
    return BlockView(block.blocked_id, name, to_ms(block.created_at))


def check(session: Session, blocker_id: UUID, user_id: UUID) -> None:
    """Refuse with `blocked` if `blocker_id` wants nothing to do with the user."""
    if session.get(Block, (blocker_id, user_id)) is not None:
        raise Refusal(AccountRefusal.BLOCKED)
