"""What the handlers of the Admin API share."""

from handlers.http.base import ApiHandler
from handlers.http.parsing import Body
from market.audit import Actor
from market.fields import Reason


class Reasoned(Body, frozen=True, kw_only=True):
    """An action that takes nothing but its reason."""

    reason: Reason


class AdminHandler(ApiHandler):
    """A handler whose operations want a role."""

    @property
    def actor(self) -> Actor:
        """Who acts."""
        return Actor(self.principal.user_id, self.principal.role)
