"""Figures over HTTP."""

import time

from store.models import Role
from tests.support.client import People


async def test_a_moderator_sees_figures_and_series_of_them(person: People) -> None:
    moderator = person(role=Role.MODERATOR)
    figures = await moderator.get("/admin/platform-stats")
    assert figures["ledger_sum"] == 0
    now = int(time.time() * 1000)
    span = f"since={now - 3_600_000}&until={now + 60_000}"
    series = await moderator.get(f"/admin/platform-stats/series?name=sales&{span}&step=minute")
    assert (series["name"], series["step"]) == ("sales", "minute")
    assert (await moderator.get(f"/admin/platform-stats/series?name=bids&{span}"))["step"] == "hour"
    for query in (
        span,
        f"name=sales&since={now}&until={now}",
        f"name=money&{span}",
        f"name=bids&{span}&step=1",
    ):
        assert await moderator.refused("GET", f"/admin/platform-stats/series?{query}") == "invalid_query"
