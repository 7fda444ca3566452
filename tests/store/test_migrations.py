"""The schema: migrations and models agree, and the application cannot rewrite history."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from market.orders import chats
from market.places import regions
from store import migrations
from store.database import APP_ROLE, SyncDatabase, psycopg_url
from store.migrations.run import alembic_config, upgrade
from store.models import Base
from tests.support.database import REGIONS, fresh_database
from tests.support.factories import make_neighbourhood_auction, make_order


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    engine = create_engine(psycopg_url(database_url))
    yield engine
    engine.dispose()


def test_no_landed_migration_has_changed() -> None:
    folder = Path(migrations.__file__).parent
    lines = (folder / "checksums").read_text().splitlines()
    landed = [line for line in lines if not line.startswith("#")]
    versions = sorted((folder / "versions").glob("*.py"))
    assert landed == [
        f"{sha256(path.read_bytes()).hexdigest()}  versions/{path.name}" for path in versions
    ], "a landed migration never changes: write a new one, and add its line"


def test_the_migrations_make_what_the_models_say(owner: Engine) -> None:
    with owner.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def schema(connection: Connection) -> list[tuple[str, str]]:
    """Every constraint and index with its definition as PostgreSQL understands it."""
    constraints = text("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid <> 0")
    indexes = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    found = [(name, sql) for query in (constraints, indexes) for name, sql in connection.execute(query)]
    return sorted((name, sql) for name, sql in found if "alembic_version" not in name)


def test_the_constraints_and_indexes_are_those_of_the_models(owner: Engine) -> None:
    with fresh_database() as url:
        engine = create_engine(psycopg_url(url))
        with engine.connect() as connection:
            Base.metadata.create_all(connection)
            declared = schema(connection)
        engine.dispose()
    with owner.connect() as connection:
        assert schema(connection) == declared


def test_migrating_down_and_up_again_works() -> None:
    with fresh_database() as url:
        upgrade(url)
        upgrade(url)
        engine = create_engine(psycopg_url(url))
        with engine.connect() as connection:
            command.downgrade(alembic_config(connection), "base")
            assert inspect(connection).get_table_names() == ["alembic_version"]
        engine.dispose()
        upgrade(url)


def test_the_application_acts_as_its_own_role(db_session: Session) -> None:
    assert db_session.scalar(text("SELECT current_user")) == APP_ROLE


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transfers SET amount = 1",
        "DELETE FROM transfers",
        "TRUNCATE transfers CASCADE",
        "UPDATE bids SET price = 1",
        "DELETE FROM bids",
        "TRUNCATE bids",
        "UPDATE extensions SET ends_at = now()",
        "UPDATE extensions SET told_at = now(), seq = 1",
        "DELETE FROM extensions",
        "TRUNCATE extensions",
        "UPDATE order_events SET action = ''",
        "DELETE FROM order_events",
        "TRUNCATE order_events",
        "UPDATE audit_log SET reason = ''",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
def test_nobody_changes_what_is_append_only(sync_database: SyncDatabase, owner: Engine, change: str) -> None:
    statement = text(change)
    with pytest.raises(ProgrammingError, match="permission denied"), sync_database.transaction() as session:
        session.execute(statement)
    with pytest.raises(ProgrammingError, match="append-only"), owner.begin() as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts",
        "DELETE FROM write_back_alarms",
        "UPDATE write_back_alarms SET reason = ''",
        "DELETE FROM orders",
        "UPDATE handovers SET place = ''",
        "UPDATE chat_messages SET sender_id = sender_id",
        "DELETE FROM chat_messages",
        "DELETE FROM reviews",
        "DELETE FROM reports",
        "UPDATE reports SET text = ''",
        "DELETE FROM fraud_signals",
        "DELETE FROM platform_settings",
        "UPDATE platform_samples SET value = 1",
        "UPDATE adjustments SET amount = 1",
        "DELETE FROM adjustments",
        "DROP TABLE transfers",
        "ALTER TABLE transfers DISABLE TRIGGER append_only",
        "CREATE TABLE mine (id int)",
        "RESET ROLE; DELETE FROM bids",
    ],
)
def test_the_application_has_no_other_right_to_destroy(sync_database: SyncDatabase, statement: str) -> None:
    with pytest.raises(ProgrammingError), sync_database.transaction() as session:
        session.execute(text(statement))


def test_a_message_can_be_emptied_and_not_rewritten(db_session: Session, owner: Engine) -> None:
    order = make_order(db_session)
    message = chats.send(db_session, order.buyer_id, order.id, "Hello.").id
    rewrite = text("UPDATE chat_messages SET text = 'Bye.' WHERE id = :id")
    for role in ("NONE", APP_ROLE):
        db_session.execute(text(f"SET LOCAL ROLE {role}"))
        with pytest.raises(ProgrammingError, match="append-only"), db_session.begin_nested():
            db_session.execute(rewrite, {"id": message})
    for statement in ("hidden_at = now()", "text = ''", "hidden_at = null"):
        db_session.execute(text(f"UPDATE chat_messages SET {statement} WHERE id = :id"), {"id": message})
    with pytest.raises(ProgrammingError, match="append-only"), db_session.begin_nested():
        db_session.execute(rewrite, {"id": message})


def test_no_neighbourhood_auction_that_runs_becomes_a_live_one() -> None:
    with fresh_database() as url:
        upgrade(url)
        database = SyncDatabase(url)
        with database.transaction() as session:
            regions.load(session, REGIONS)
            make_neighbourhood_auction(session)
        database.dispose()
        engine = create_engine(psycopg_url(url))
        with pytest.raises(RuntimeError, match="1 neighbourhood"), engine.connect() as connection:
            command.downgrade(alembic_config(connection), "0012")
        with engine.begin() as connection:
            connection.execute(text("UPDATE auctions SET status = 'unsold'"))
        with engine.connect() as connection:
            command.downgrade(alembic_config(connection), "0012")
        engine.dispose()
