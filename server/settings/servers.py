"""PostgreSQL, Redis and Celery's broker: external ones, or embedded ones that `up` starts."""

from dataclasses import dataclass, field
from typing import Self

from server.settings.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """The database. The URL of an embedded server holds its generated password."""

    embedded: bool
    port: int
    """Of the embedded server, like `fsync`."""
    fsync: bool
    url: str = field(repr=False)
    owner_url: str = field(repr=False)
    """For migrations: the owner of the schema."""

    @classmethod
    def read(cls, read: Reader) -> Self:
        port = read.port("NEIGHBORBID_POSTGRES_PORT", 8301)
        fsync = read.switch("NEIGHBORBID_POSTGRES_FSYNC", True)
        if not fsync and not read.development:
            read.problems.append("NEIGHBORBID_POSTGRES_FSYNC may only be off in development.")
        schemes = ("postgresql", "postgresql+psycopg")
        url = read.service_url("DATABASE_URL", schemes)
        owner_url = read.service_url("NEIGHBORBID_OWNER_DATABASE_URL", schemes)
        embedded = url is None
        if owner_url is not None and embedded:
            read.problems.append(
                "NEIGHBORBID_OWNER_DATABASE_URL needs DATABASE_URL: the embedded server has an owner already."
            )
        if url is None:
            url = f"postgresql://neighborbid:{read.secret('postgres')}@127.0.0.1:{port}/neighborbid"
        return cls(
            embedded=embedded,
            port=port,
            fsync=fsync,
            url=url.replace("postgresql+psycopg://", "postgresql://", 1),
            owner_url=(owner_url or url).replace("postgresql+psycopg://", "postgresql://", 1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Redis:
    """Redis and the broker. The URLs of an embedded server hold its generated password."""

    embedded: bool
    """Whether one of the two URLs is that of the embedded server."""
    port: int
    """Of the embedded server."""
    url: str = field(repr=False)
    broker_url: str = field(repr=False)
    """Celery's. It cannot use a Redis Cluster, so a `REDIS_URL` alone never becomes the broker."""

    @classmethod
    def read(cls, read: Reader) -> Self:
        port = read.port("NEIGHBORBID_REDIS_PORT", 8302)
        url = read.service_url("REDIS_URL", ("redis", "rediss"))
        broker_url = read.service_url("CELERY_BROKER_URL", ("redis", "rediss", "amqp", "amqps"))
        embedded = url is None or broker_url is None
        own = f"redis://:{read.secret('redis')}@127.0.0.1:{port}" if embedded else ""
        return cls(embedded=embedded, port=port, url=url or f"{own}/0", broker_url=broker_url or f"{own}/1")
