"""Keeping what only a moment knows, for charts."""

from market.analytics import platform_stats as kept
from store.redis import measurements
from tasks.app import Resources, periodic


@periodic("tasks.figures.sample_figures", every_s=60)
def sample_stats(resources: Resources) -> None:
    """Keep what the processes measure now."""
    measured = resources.hot.run(measurements.take())
    with resources.database.transaction() as session:
        kept.sample(
            session,
            viewers=measured.viewers,
            write_back_lag=measured.write_back_lag_ms,
            late_rejections=measured.late_rejections,
        )


@periodic("tasks.figures.forget_figures", every_s=3600)
def forget_samples(resources: Resources) -> None:
    """Delete old samples."""
    with resources.database.transaction() as session:
        kept.forget_old(session)
