"""Settings that point elsewhere."""

from dataclasses import replace

from server.settings import Settings


def at(settings: Settings, *, database: str | None = None, redis: str | None = None) -> Settings:
    """The same settings with the URL of another database, also for its owner, or of another Redis."""
    if database is not None:
        settings = replace(settings, postgres=replace(settings.postgres, url=database, owner_url=database))
    if redis is not None:
        settings = replace(settings, redis=replace(settings.redis, url=redis))
    return settings
