"""Bring a database to the newest schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from store.database import psycopg_url

_LOCK = 7_210_553
"""Advisory lock: two processes that migrate at once would both create the tables."""


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings for a connection of the owner."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(owner_url: str) -> None:
    """Migrate to the newest revision; nothing happens when it is there already. `owner_url` logs in as the owner of
    the tables, who may create roles if `neighborbid_app` does not exist yet."""
    engine = create_engine(psycopg_url(owner_url))
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            connection.commit()
            command.upgrade(alembic_config(connection), "head")
    finally:
        engine.dispose()
