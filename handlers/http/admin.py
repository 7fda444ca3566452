"""What the handlers of the Admin API share."""

from typing import Annotated

from msgspec import Meta

from handlers.http.base import ApiHandler
from handlers.http.parsing import ONE_LINE, Body
from market.audit import Actor

Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=ONE_LINE)]
"""Why it is done. It stands in the audit log."""


class Reasoned(Body, frozen=True, kw_only=True):
    """An action that takes nothing but its reason."""

    reason: Reason


class AdminHandler(ApiHandler):
    """A handler whose operations want a role."""

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return Actor(self.principal.user_id, self.principal.role)
