"""Settings that point elsewhere."""

from dataclasses import replace

from server.settings import Settings


def at(settings: Settings, *, database: str | None = None, redis: str | None = None) -> Settings:
    """The same settings with the URL of another database or Redis."""
    postgres = replace(settings.postgres, url=database or settings.postgres.url)
    return replace(
        settings, postgres=postgres, redis=replace(settings.redis, url=redis or settings.redis.url)
    )
