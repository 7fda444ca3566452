"""The refresh token of a browser: in a cookie that no script can read and no other page can make use of."""

from handlers.http.base import ApiHandler
from handlers.http.refusals import HttpRefusal
from market.accounts.refusals import AccountRefusal
from market.errors import Refusal

HEADER = "X-NeighborBid-CSRF"
"""Forms cannot send it, and scripts of other origins only after a preflight, which is not answered to them."""

PATH = "/"
"""The prefix `__Host-` wants it."""


class CookieHandler(ApiHandler):
    """A handler that may read or write the refresh cookie. First of all it calls `require_own_page`."""

    @property
    def cookie_name(self) -> str:
        """The prefix makes browsers refuse a cookie of this name unless this very host has set it, by TLS."""
        return "refresh_token" if self.services.development else "__Host-refresh_token"

    def require_own_page(self) -> None:
        """Refuses with `foreign_page` what another site may have made the browser send."""
        origin = self.request.headers.get("Origin")
        if HEADER not in self.request.headers or not (origin is None or self._is_own(origin)):
            raise Refusal(HttpRefusal.FOREIGN_PAGE)

    def _is_own(self, origin: str) -> bool:
        own = f"{self.request.protocol}://{self.request.host}"
        return origin == own or origin in self.services.allowed_origins

    def read_refresh_cookie(self) -> str:
        """The token in the cookie, or nothing. Refuses with `invalid_refresh_token` if there are two.

        Without the prefix a neighbouring host or another port may have set the second, for a session of its own.
        """
        pairs = [
            pair.partition("=")
            for header in self.request.headers.get_list("Cookie")
            for pair in header.split(";")
        ]
        values = [value.strip() for name, _, value in pairs if name.strip() == self.cookie_name]
        if len(values) > 1:
            raise Refusal(
                AccountRefusal.INVALID_REFRESH_TOKEN,
                f"You have two cookies {self.cookie_name}. Delete both.",
            )
        return values[0] if values else ""

    def write_refresh_cookie(self, token: str) -> None:
        """Give the browser a new token, for as long as a session can go without use."""
        self.set_cookie(
            self.cookie_name,
            token,
            path=PATH,
            httponly=True,
            samesite="Strict",
            secure=not self.services.development,
            max_age=self.services.session_lifetime.idle_s,
        )

    def clear_refresh_cookie(self) -> None:
        """Have the browser forget the token, if it has one."""
        if self.get_cookie(self.cookie_name) is not None:
            self.clear_cookie(
                self.cookie_name,
                path=PATH,
                httponly=True,
                samesite="Strict",
                secure=not self.services.development,
            )
