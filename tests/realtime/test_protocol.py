"""The reference in docs/protocol.md and the types of realtime/protocol.py say the same."""

import re
import struct
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from market.rules import Code
from realtime.frames import frame
from realtime.limits import Limits
from realtime.protocol import (
    REQUESTS,
    CloseCode,
    ErrorCode,
    Notice,
    NoticeCode,
    Outgoing,
    PublicBid,
    State,
    decode_outgoing,
    name_of,
)

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
TYPES = {name_of(type_): type_ for type_ in (*REQUESTS, *get_args(Outgoing))}


def test_every_message_has_a_section_and_every_section_a_message() -> None:
    assert set(SECTIONS) == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_every_field_is_described(name: str) -> None:
    words = set(re.findall(r"`(\w+)`", SECTIONS[name]))
    assert set(TYPES[name].__struct_fields__) <= words


def test_the_fields_of_a_bid_and_the_states_are_described() -> None:
    words = set(re.findall(r"`(\w+)`", SECTIONS["tick"] + SECTIONS["snapshot"]))
    assert {*PublicBid.__struct_fields__, *State} <= words


@pytest.mark.parametrize(
    ("section", "codes"), [("rejected", Code), ("error", ErrorCode), ("notice", NoticeCode)], ids=str
)
def test_the_codes_are_those_of_the_reference(section: str, codes: type[Code]) -> None:
    assert re.findall(r"^\| `(\w+)` \|", SECTIONS[section], re.MULTILINE) == list(codes)


def test_close_codes_and_bounds_are_those_of_the_reference() -> None:
    listed = {int(code) for code in re.findall(r"^\| (\d{4}) ", TEXT, re.MULTILINE)}
    assert {CloseCode.POLICY, CloseCode.RESTART, CloseCode.TOO_SLOW, CloseCode.SESSION_REVOKED} <= listed
    limits = Limits()
    assert f"at most {limits.message_bytes // 1024} KiB" in TEXT
    assert f"with {limits.hard_bytes // 1024} KiB unread, or {limits.slow_s} s behind" in TEXT
    assert f"{limits.messages_per_s} a second, {limits.message_burst} at once" in TEXT
    assert f"after {limits.rate_limited_in_a_row} `rate_limited` in a row" in TEXT
    assert f"At most {limits.subscriptions} auctions" in TEXT
    assert f"the last {limits.history} events" in TEXT


@pytest.mark.parametrize("size", [0, 1, 50, 51, 52, 65_400, 65_500, 65_600, 100_000])
def test_a_frame_is_a_whole_unmasked_text_frame(size: int) -> None:
    notice = Notice(code=NoticeCode.RESTORED, detail="x" * size)
    data = frame(notice)
    payload = msgspec.json.encode(notice)
    assert data[0] == 0x81
    if len(payload) < 126:
        header, length = 2, data[1]
    elif data[1] == 126:
        header, length = 4, struct.unpack("!H", data[2:4])[0]
    else:
        assert data[1] == 127
        header, length = 10, struct.unpack("!Q", data[2:10])[0]
        assert length >= 1 << 16
    assert length == len(payload)
    assert decode_outgoing(data[header:]) == notice
