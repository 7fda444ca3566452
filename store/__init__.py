"""The ground: database models and unit of work, ledger rows, hot state in Redis, migrations."""
