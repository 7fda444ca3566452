"""The words that the full-text search compares: of listings and of what is searched, in Korean and English alike.

Korean glues particles and other words to a word (자전거를, 접이식자전거), so what is written in syllables is cut into
pairs of neighbouring ones, and found wherever it stands: 자전거 is 자전 followed by 전거. Many write apart what others
write together, so 원목책상 finds 원목 책상, too. Other words are found by their beginning: bicy finds bicycle. Capitals
and the width of letters do not count. PostgreSQL needs no extension for this, only its tsvector with positions.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from unicodedata import normalize
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from store.models import Auction, AuctionStatus, SearchWords

MAX_CHARACTERS = 12_000
"""Of a listing: positions in a tsvector end at 16383."""
BATCH = 1_000
"""Listings that `catch_up` takes at once."""
MAX_WORD = 64
"""Longer words are found by so many of their letters."""

_SYLLABLES = "\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7a3"
"""Hangul, and also Kana and Han: scripts without spaces between words."""
_RUN = re.compile(rf"([{_SYLLABLES}]+)|[^\W_{_SYLLABLES}]+")


def vector(text: str) -> str:
    """The words of a listing, as the text of a tsvector."""
    positions: dict[str, list[int]] = defaultdict(list)
    position = 1
    for run, syllables in _runs(text):
        # The last syllable stands alone, so that it too is found by itself.
        tokens = [run[at : at + 2] for at in range(len(run))] if syllables else [run[:MAX_WORD]]
        for token in tokens:
            positions[token].append(position)
            position += 1
    return " ".join(f"'{token}':{','.join(map(str, places))}" for token, places in positions.items())


def query(text: str) -> str | None:
    """What finds the listings that have every word of `text`, as the text of a tsquery; None if it has none."""
    terms = [_term(run, syllables) for run, syllables in _runs(text)]
    return " & ".join(terms) or None


def remember(session: Session, auction_id: UUID, title: str, description: str) -> None:
    """Let the search find a listing by these texts, and no longer by those before."""
    statement = insert(SearchWords).values(auction_id=auction_id, words=vector(f"{title}\n{description}"))
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[SearchWords.auction_id], set_={"words": statement.excluded.words}
        )
    )


def forget_user(session: Session, user_id: UUID) -> None:
    """Forget what the drafts of a user say, whose account is deleted."""
    drafts = select(Auction.id).where(Auction.seller_id == user_id, Auction.status == AuctionStatus.DRAFT)
    session.execute(
        update(SearchWords).where(SearchWords.auction_id.in_(drafts)).values(words=""),
        execution_options={"synchronize_session": False},
    )


def catch_up(session: Session) -> int:
    """Let the search find some listings that it finds by no words yet, and say how many: 0 when there are none left."""
    missing = (
        select(Auction.id, Auction.title, Auction.description)
        .outerjoin(SearchWords, SearchWords.auction_id == Auction.id)
        .where(SearchWords.auction_id.is_(None))
        .limit(BATCH)
    )
    listings = session.execute(missing).all()
    for auction_id, title, description in listings:
        remember(session, auction_id, title, description)
    return len(listings)


def _term(run: str, syllables: bool) -> str:
    if not syllables:
        return f"'{run[:MAX_WORD]}':*"
    if len(run) == 1:
        return f"'{run}':*"
    # Where the listing has a space, a syllable that ends a word stands in place of the pair.
    pairs = [f"('{run[at : at + 2]}' | '{run[at]}')" for at in range(len(run) - 2)]
    return "(" + " <-> ".join([*pairs, f"'{run[-2:]}'"]) + ")"


def _runs(text: str) -> Iterator[tuple[str, bool]]:
    """The words of a text, in small letters, and whether each is written in syllables."""
    folded = normalize("NFKC", normalize("NFKC", text).casefold())[:MAX_CHARACTERS]
    for match in _RUN.finditer(folded):
        yield match[0], match[1] is not None
