"""The regions of Korea, a tree: 시/도 -> 시/군/구 -> 읍/면/동. They come from a file; store/data has one.

A region's code is the official one for legal regions without the zeros at its end: 2, 5 or 8 digits, by level.
"""

import csv
import unicodedata
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import h3
import msgspec
from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import InstrumentedAttribute, Session

from market import audit
from market.audit import Actor, Subject
from market.errors import GeneralRefusal, Refusal
from market.pages import Page, decode_cursor, page_of, window
from market.times import clock
from store.models import Region

CODE_LENGTHS = (2, 5, 8)
CODE = r"\A[0-9]{2,8}\Z"
"""Pattern of a code."""
COLUMNS = ["code", "name", "name_en", "latitude", "longitude"]
"""Of a file of regions."""

MAX_DISTANCE_KM = 10.0
"""A position farther from the middle of every 읍/면/동 is outside. Hardly any inhabited place is."""

SEARCH_RESOLUTION = 5
SEARCH_RINGS = 2
"""The H3 cells that regions are found by: in Korea, the cell of a position and those of two rings around it hold all
that is within 15 km."""


class InvalidRegions(Exception):
    """A file of regions cannot be used; the text says why."""


class Level(StrEnum):
    """The size of a region."""

    SIDO = "sido"
    SIGUNGU = "sigungu"
    EUPMYEONDONG = "eupmyeondong"


_LEVELS = dict(zip(CODE_LENGTHS, Level, strict=True))
_TOWN_LENGTH = CODE_LENGTHS[-1]


class RegionView(msgspec.Struct, frozen=True):
    """A region. `full_name` begins with the names of its ancestors; the position, in degrees, is in its middle."""

    code: str
    level: Level
    name: str
    name_en: str
    full_name: str
    latitude: float
    longitude: float


class _Last(msgspec.Struct, frozen=True):
    """Where a page ended."""

    code: Annotated[str, msgspec.Meta(pattern=CODE)]


class RegionRow(msgspec.Struct, frozen=True):
    """A region as admins see it."""

    code: str
    name: str
    name_en: str
    full_name: str
    retired: bool


class RegionPath(msgspec.Struct, frozen=True):
    """A region and those that contain it, the largest first."""

    region: RegionView
    ancestors: list[RegionView]


def page(
    session: Session, parent: str | None, search: str | None, cursor: str | None, limit: int
) -> Page[RegionView]:
    """The children of `parent` (without one, the 시/도) by code; with `search`, everything below it whose name, Korean
    or romanised, contains the last word and whose ancestors' names contain the others, the large ones first.

    Refuses with `not_found` for an unknown parent and with `invalid_cursor`.
    """
    if parent is not None and session.get(Region, parent) is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    if search is None:
        query = select(Region).where(Region.parent_code.is_not_distinct_from(parent))
    else:
        *others, last = unicodedata.normalize("NFC", search).split()
        query = select(Region).where(_contains(last, Region.name, Region.name_en))
        for word in others:
            query = query.where(_contains(word, Region.full_name, Region.full_name_en))
        if parent is not None:
            query = query.where(Region.code.startswith(parent), Region.code != parent)
    query = query.where(Region.retired_at.is_(None))
    code = None if cursor is None else decode_cursor(cursor, _Last).code
    after = None if code is None else [len(code), code]
    found = session.scalars(
        window(query, [func.length(Region.code), Region.code], after, limit, ascending=True)
    )
    return page_of([view(region) for region in found], limit, lambda region: _Last(region.code))


def get(session: Session, code: str) -> RegionPath:
    """A region with its ancestors. Refuses with `not_found`."""
    codes = [code[:length] for length in CODE_LENGTHS if length < len(code)]
    found = {
        region.code: view(region)
        for region in session.scalars(select(Region).where(Region.code.in_([*codes, code])))
    }
    if code not in found:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    return RegionPath(found[code], [found[ancestor] for ancestor in codes])


def nearest(session: Session, latitude: float, longitude: float) -> RegionView | None:
    """The 읍/면/동 whose middle is nearest; None farther than `MAX_DISTANCE_KM` from all of them.

    The database is only told the cell, some 15 km wide, and not the position: statements may be logged.
    """
    here = (latitude, longitude)
    cells = h3.grid_disk(h3.latlng_to_cell(*here, SEARCH_RESOLUTION), SEARCH_RINGS)
    middles = session.execute(
        select(Region.code, Region.latitude, Region.longitude).where(
            Region.cell.in_(cells),
            func.length(Region.code) == _TOWN_LENGTH,
            Region.retired_at.is_(None),
        )
    )
    distance, code = min(
        (
            (h3.great_circle_distance(here, (row.latitude, row.longitude), unit="km"), row.code)
            for row in middles
        ),
        default=(MAX_DISTANCE_KM, ""),
    )
    return view(session.get_one(Region, code)) if distance < MAX_DISTANCE_KM else None


def view(region: Region) -> RegionView:
    """The region as everybody sees it."""
    return RegionView(
        code=region.code,
        level=_LEVELS[len(region.code)],
        name=region.name,
        name_en=region.name_en,
        full_name=region.full_name,
        latitude=region.latitude,
        longitude=region.longitude,
    )


def load(session: Session, file: Path) -> int:
    """Bring the regions of a CSV file with `COLUMNS` into the table, and say how many the file has.

    Known ones get the names of the file, none is removed: neighbourhoods may lie in it. What is retired stays so.
    Raises InvalidRegions.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = _rows(lines)
    if not rows:
        raise InvalidRegions(f"{file.name} has no regions.")
    statement = insert(Region)
    changed = {
        column.name: column
        for column in statement.excluded
        if column.name in rows[0] and not column.primary_key
    }
    session.execute(statement.on_conflict_do_update(index_elements=[Region.code], set_=changed), rows)
    return len(rows)


def change(
    session: Session, actor: Actor, code: str, name: str, name_en: str, retired: bool, reason: str
) -> RegionRow:
    """Rename a region, in the full names of all that lies in it, too; retire it with all of that, or bring all back.

    Nobody new gets a neighbourhood in a retired one; those who have one there keep it while it lasts. Refuses with
    `not_found`.
    """
    whole = session.scalars(
        select(Region)
        .where(Region.code.startswith(code))
        .order_by(Region.code)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    if not whole or whole[0].code != code:
        raise Refusal(GeneralRefusal.NOT_FOUND)
    region, before = whole[0], _region_row(whole[0])
    full_name = region.full_name.removesuffix(region.name) + name
    full_name_en = region.full_name_en.removesuffix(region.name_en) + name_en
    if retired != before.retired:
        retired_at = clock(session) if retired else None
        for part in whole:
            part.retired_at = retired_at
    for part in whole[1:]:
        part.full_name = full_name + part.full_name.removeprefix(region.full_name)
        part.full_name_en = full_name_en + part.full_name_en.removeprefix(region.full_name_en)
    region.name, region.name_en = name, name_en
    region.full_name, region.full_name_en = full_name, full_name_en
    session.flush()
    after = _region_row(region)
    changes = (msgspec.to_builtins(row) for row in (before, after))
    audit.record(session, actor, "change", Subject("region", code), reason, *changes)
    return after


def _region_row(region: Region) -> RegionRow:
    return RegionRow(
        region.code, region.name, region.name_en, region.full_name, region.retired_at is not None
    )


def is_empty(session: Session) -> bool:
    """Whether no regions have been loaded yet."""
    return session.scalar(select(Region.code).limit(1)) is None


def _rows(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The rows of the table, parents first. Raises InvalidRegions."""
    read = _read(lines)
    names = {fields["code"]: fields for _, fields in read}
    if len(names) < len(read):
        raise InvalidRegions("A code is there twice.")
    rows = [_row(line, fields, names) for line, fields in read]
    return sorted(rows, key=lambda row: (len(row["code"]), row["code"]))


def _read(lines: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """The numbers of the lines and the fields in them."""
    reader = csv.DictReader(lines, strict=True)
    read = []
    try:
        if reader.fieldnames != COLUMNS:
            raise InvalidRegions(f"The first line must be {','.join(COLUMNS)}.")
        for fields in reader:
            if None in fields or None in fields.values():
                raise InvalidRegions(f"Line {reader.line_num}: it must have {len(COLUMNS)} fields.")
            read.append((reader.line_num, fields))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidRegions(f"It is not a CSV file in UTF-8: {error}.") from error
    return read


def _row(line: int, fields: dict[str, str], names: dict[str, dict[str, str]]) -> dict[str, Any]:
    code = fields["code"]
    if len(code) not in CODE_LENGTHS or not (code.isascii() and code.isdigit()):
        raise InvalidRegions(f"Line {line}: a code has 2, 5 or 8 digits.")
    path = [code[:length] for length in CODE_LENGTHS if length <= len(code)]
    if not set(path) <= names.keys():
        raise InvalidRegions(f"Line {line}: the region that {code} lies in is missing.")
    if not fields["name"] or not fields["name_en"]:
        raise InvalidRegions(f"Line {line}: a name is missing.")
    latitude, longitude = _position(line, fields)
    return {
        "code": code,
        "parent_code": path[-2] if len(path) > 1 else None,
        "name": fields["name"],
        "name_en": fields["name_en"],
        "full_name": " ".join(names[part]["name"] for part in path),
        "full_name_en": " ".join(names[part]["name_en"] for part in path),
        "latitude": latitude,
        "longitude": longitude,
        "cell": h3.latlng_to_cell(latitude, longitude, SEARCH_RESOLUTION),
    }


def _position(line: int, fields: dict[str, str]) -> tuple[float, float]:
    try:
        latitude, longitude = float(fields["latitude"]), float(fields["longitude"])
    except ValueError:
        raise InvalidRegions(f"Line {line}: a position is two numbers.") from None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
        raise InvalidRegions(f"Line {line}: there is no such position.")
    return latitude, longitude


def _contains(word: str, *columns: InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether one of the columns does, in capitals or not."""
    return or_(*(column.icontains(word, autoescape=True) for column in columns))
