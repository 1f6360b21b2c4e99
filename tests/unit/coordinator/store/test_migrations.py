from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from edgemeter_coordinator.store.database import Database, NewerSchema
from edgemeter_coordinator.store.schema import metadata


def test_migrations_lead_to_the_tables_that_the_code_knows(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_defaults_and_partial_indexes_are_those_of_the_code(database: Database, tmp_path: Path) -> None:
    """Autogenerate doesn't compare the conditions of indexes, nor SQLite's empty defaults."""
    (tmp_path / "created").mkdir()
    created = Database.in_directory(tmp_path / "created")
    metadata.create_all(created.engine)
    indexes = text("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    with database.engine.connect() as migrated, created.engine.connect() as direct:
        assert set(migrated.execute(indexes)) == set(direct.execute(indexes))
        for table in metadata.tables:
            columns = text(f"SELECT name, type, [notnull], dflt_value, pk FROM pragma_table_info('{table}')")
            assert list(migrated.execute(columns)) == list(direct.execute(columns))
    created.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    database.migrate()
    assert "jobs" in inspect(database.engine).get_table_names()


def test_a_database_of_a_newer_edgemeter_is_left_alone(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerSchema, match=r"newer edgemeter \(schema 9999\): upgrade"):
        database.migrate()
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
