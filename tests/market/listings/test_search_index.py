"""What the full-text search finds, in Korean and English, asked of PostgreSQL itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import cast, literal, select
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR
from sqlalchemy.orm import Session

from market.listings import search_index
from store.database import SyncDatabase


def finds(session: Session, searched: str, text: str) -> bool:
    """Whether who searches for `searched` finds a listing with `text`."""
    query = search_index.query(searched)
    assert query is not None
    vector = cast(literal(search_index.vector(text)), TSVECTOR)
    return session.scalars(select(vector.op("@@")(cast(literal(query), TSQUERY)))).one() is True


@pytest.mark.parametrize(
    ("searched", "text"),
    [
        ("자전거", "접이식 자전거 팝니다"),
        ("자전거", "접이식자전거를 싸게"),
        ("자전거 접이식", "접이식 자전거"),
        ("전거", "자전거"),
        ("원목책상", "원목 책상 팝니다"),
        ("큰원목책상", "큰 원목 책상을"),
        ("원목책상", "원 목 책상"),
        ("책", "책상"),
        ("책", "만화책"),
        ("상", "책상"),
        ("아이폰15", "아이폰 15 프로"),
        ("15 아이폰", "새 아이폰15pro"),
        ("bicycle", "A Bicycle, ridden twice"),
        ("BICY", "bicycles"),
        ("iphone", "ＩＰＨＯＮＥ"),
        ("strasse", "Straße"),
        ("café", "CAFÉ"),
        ("cafe\u0301", "café"),
        ("자전거", "자전거"),
        ("古本", "神保町古本屋"),
        ("ㅋㅋ", "ㅋㅋㅋ"),
        ("it's", "It's good"),
        ("a:b & c|d !e (f) <-> 'g' \\", "a b c d e f g"),
        ("x" * 100, "x" * 64),
    ],
)
def test_it_is_found(db_session: Session, searched: str, text: str) -> None:
    assert finds(db_session, searched, text)


@pytest.mark.parametrize(
    ("searched", "text"),
    [
        ("자전거", "자동차"),
        ("자전거", "자전 전거"),
        ("자전거", "전거자전"),
        ("자전거", "자전\n거"),
        ("자전거 접이식", "자전거"),
        ("원목책상", "책상 원목"),
        ("원목책상", "원목 큰 책상"),
        ("원목책상", "원목으로 책상"),
        ("cycle", "bicycle"),
        ("bicycle", "bicy"),
        ("아이폰 16", "아이폰 15"),
        ("a", "b"),
    ],
)
def test_it_is_not_found(db_session: Session, searched: str, text: str) -> None:
    assert not finds(db_session, searched, text)


@pytest.mark.parametrize("text", ["", " ", "!!!", "_-_", "👍", "' \\ : &"])
def test_without_a_letter_or_digit_there_is_nothing_to_search(text: str) -> None:
    assert search_index.query(text) is None
    assert search_index.vector(text) == ""


TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), st.sampled_from("자전거책 a1'\\:&")
    )
)


@given(text=TEXTS, searched=TEXTS)
def test_postgresql_reads_the_words_of_every_text(
    sync_database: SyncDatabase, text: str, searched: str
) -> None:
    with sync_database.transaction() as session:
        if search_index.query(searched) is not None:
            assert finds(session, searched, f"{text} {searched}")


def test_the_longest_listing_can_be_stored(db_session: Session) -> None:
    for character in ("가", "ﷺ", "a ", "𐐀 "):
        text = character * 10_200
        assert finds(db_session, text[:100], text)
    syllables = "".join(chr(0xAC00 + number) for number in range(10_200))
    assert finds(db_session, syllables[10_000:10_100], syllables)
