"""What the realtime processes measure comes into PostgreSQL."""

from sqlalchemy import select

from store.models import PlatformSample
from store.redis import measurements
from store.redis.clients import Hot
from store.redis.keys import WRITE_BACK_AT
from tasks.analytics.platform_stats import forget_samples, sample_stats
from tasks.app import Resources


def samples(resources: Resources) -> dict[str, list[int]]:
    """The values of each figure, in their order."""
    found: dict[str, list[int]] = {}
    with resources.database.transaction() as session:
        for name, value in session.execute(
            select(PlatformSample.name, PlatformSample.value).order_by(PlatformSample.at)
        ):
            found.setdefault(name, []).append(value)
    return found


async def test_processes_are_added_up_and_late_bids_counted_once(resources: Resources, hot: Hot) -> None:
    now = resources.hot.now_ms()
    await hot.run(measurements.share("one", 3, 1, now))
    await hot.run(measurements.share("two", 4, 0, now))
    await hot.run(measurements.share("one", 5, 2, now))
    await hot.run(measurements.share("gone", 100, 0, now - 60_000))
    resources.hot.client.set(WRITE_BACK_AT, now - 5_000)
    sample_stats(resources)
    sample_stats(resources)
    found = samples(resources)
    assert found["viewers"][-2:] == [9, 9]
    assert found["late_rejections"][-2:] == [3, 0]
    assert found["write_back_lag"][-1] >= 5_000
    assert found["ledger_sum"][-1] == 0
    forget_samples(resources)
    assert samples(resources) == found


def test_before_anything_was_measured_nobody_watches_and_no_write_back_is_known(resources: Resources) -> None:
    known = len(samples(resources).get("write_back_lag", []))
    sample_stats(resources)
    found = samples(resources)
    assert [found[name][-1] for name in ("viewers", "late_rejections")] == [0, 0]
    assert len(found.get("write_back_lag", [])) == known
