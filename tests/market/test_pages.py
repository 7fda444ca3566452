"""Walking through a long list page by page."""

from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.errors import Refusal
from market.pages import MAX_LIMIT, Page, bounded, list_page
from store.models import User
from tests.support.factories import make_user


@pytest.fixture
def users(db_session: Session) -> list[UUID]:
    return sorted(make_user(db_session) for _ in range(5))


def page(
    session: Session, users: list[UUID], cursor: str | None, limit: int, ascending: bool = False
) -> Page[UUID]:
    query = select(User).where(User.id.in_(users))
    return list_page(session, query, lambda user: user.id, User.id, cursor, limit, ascending=ascending)


@pytest.mark.parametrize("ascending", [False, True])
def test_every_item_is_on_one_page_in_the_order_of_the_key(
    db_session: Session, users: list[UUID], ascending: bool
) -> None:
    pages = [page(db_session, users, None, 2, ascending)]
    while cursor := pages[-1].next_cursor:
        pages.append(page(db_session, users, cursor, 2, ascending))
    wanted = users if ascending else users[::-1]
    assert [one.items for one in pages] == [wanted[:2], wanted[2:4], wanted[4:]]


def test_a_list_that_just_fits_has_no_further_page(db_session: Session, users: list[UUID]) -> None:
    assert page(db_session, users, None, 5).next_cursor is None


def test_a_limit_is_brought_into_its_range(db_session: Session, users: list[UUID]) -> None:
    assert page(db_session, users, None, 0).items == users[-1:]
    assert bounded(MAX_LIMIT + 1) == MAX_LIMIT


@pytest.mark.parametrize("cursor", ["", "x", "MQ==", "ImEi"])
def test_a_cursor_that_no_page_has_given_is_refused(
    db_session: Session, users: list[UUID], cursor: str
) -> None:
    with pytest.raises(Refusal) as error:
        page(db_session, users, cursor, 2)
    assert error.value.code == "invalid_cursor"
