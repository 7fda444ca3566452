"""What people may send: the types of the fields that every door checks alike.

They are annotations for msgspec. Patterns end in `\\Z`, because `$` would also match before a last newline.
"""

from typing import Annotated

from msgspec import Meta

from market.rules import MAX_AMOUNT

Amount = Annotated[int, Meta(ge=1, le=MAX_AMOUNT)]
"""Minor units of the currency. A JSON integer: neither 1.0 nor "1" nor true is one."""

EMAIL = r"\A[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+\Z"
Email = Annotated[str, Meta(max_length=254, pattern=EMAIL)]
"""ASCII only: no two addresses that look the same are different. Nor quotes, commas and the like, as in the forms of
browsers: an e-mail to `x,ann@example.org` would go to Ann."""

Password = Annotated[str, Meta(max_length=128)]
NewPassword = Annotated[str, Meta(min_length=10, max_length=128)]

ONE_LINE = r"\A(?=.*\S)[^\x00-\x1f\x7f-\x9f]+\Z"
"""Pattern of a line with something to see on it. PostgreSQL cannot store NUL."""

DisplayName = Annotated[str, Meta(max_length=50, pattern=ONE_LINE)]

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=ONE_LINE)]
"""Why an administrator acts. It stands in the audit log."""

PROSE = r"\A[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z"
"""Pattern of a text that may have tabs and newlines."""


def portable(document: bytes) -> bytes:
    """A JSON document with its patterns in the dialect of JSON Schema, which knows neither \\A nor \\Z."""
    return document.replace(rb"\\A", b"^").replace(rb"\\Z", b"$")
