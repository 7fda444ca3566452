"""All codes of refusals that clients may see, whichever enum they stand in."""

from http import HTTPStatus

import handlers.routes  # noqa: F401 - whatever can be refused is imported from here
from market.errors import GeneralRefusal, RefusalCode

ENUMS: list[type[RefusalCode]] = RefusalCode.__subclasses__()
IMPOSSIBLE = {
    code
    for enum in ENUMS
    for code in enum
    if code.status == HTTPStatus.INTERNAL_SERVER_ERROR and code != GeneralRefusal.INTERNAL_ERROR
}
"""Refusals that no request can cause: they would be faults of ours, so clients get `internal_error`."""
STATUS = {str(code): code.status for enum in ENUMS for code in enum if code not in IMPOSSIBLE}
"""How each code is answered."""
