from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from edgemeter_coordinator.store import database as module
from edgemeter_coordinator.store import datasets, devices, meters, models, variants
from edgemeter_coordinator.store.database import Database, NewerSchema
from edgemeter_coordinator.store.schema import metadata
from edgemeter_protos.v1 import lab_pb2, variant_pb2


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


def test_what_an_earlier_edgemeter_kept_is_still_there(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    signature = variant_pb2.Signature(inputs=[variant_pb2.TensorSpec(name="x", dtype="float32")])
    splits = [lab_pb2.Split(name="training", samples=7)]
    rows = {
        "models": {
            "digest": "m" * 64,
            "name": "digits",
            "file_name": "digits.keras",
            "framework": "keras",
            "task": "classification",
            "size_bytes": 5,
            "parameters": 3,
            "signature": signature.SerializeToString(),
            "added_at_ms": 1,
        },
        "datasets": {
            "digest": "d" * 64,
            "name": "digits",
            "file_name": "digits.npz",
            "size_bytes": 5,
            "description": lab_pb2.Dataset(splits=splits, classes=10).SerializeToString(),
            "calibration_digest": "c",
            "evaluation_digest": "e",
            "evaluation_inputs_blob": "i",
            "evaluation_labels_blob": None,
            "added_at_ms": 1,
        },
        "variants": {
            "id": "v",
            "model_digest": "m" * 64,
            "dataset_digest": "d" * 64,
            "recipe": "int8@tflite",
            "state": "ready",
            "manifest": variant_pb2.Manifest(variant_id="v", size_bytes=9).SerializeToString(),
            "created_at_ms": 1,
            "ended_at_ms": 2,
        },
    }
    with database.engine.begin() as connection:
        for table, row in rows.items():
            columns = ", ".join(row)
            named = ", ".join(f":{column}" for column in row)
            connection.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({named})"), row)
    database.migrate()
    with database.engine.connect() as connection:
        model = models.by_name(connection, "digits")
        data = datasets.by_name(connection, "digits")
        variant = variants.get(connection, "v")
    database.close()
    assert model is not None
    assert (model.signature, model.parameters, model.function) == (signature, 3, "")
    # Nobody looked for them yet, which is not the same as none.
    assert model.description is None
    assert (model.inputs, model.preprocessing) == ((), ())
    assert data is not None
    assert data.samples("training") == 7
    assert data.training_digest is None
    # The file is what builds read.
    assert data.canonical_blob == data.digest
    assert variant is not None
    assert variant.manifest is not None
    assert variant.manifest.size_bytes == 9


def test_boards_of_an_earlier_edgemeter_can_be_given_meters(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        assert "meters" not in inspect(connection).get_table_names()
        connection.execute(
            text(
                "INSERT INTO devices"
                " (id, name, labels, facts, certificate_sha256, epoch, attached, joined_at_ms)"
                " VALUES ('d', 'pi', '{}', x'', 's', 3, 0, 1)"
            )
        )
    database.migrate()
    with database.engine.begin() as connection:
        (board,) = devices.every(connection)
        assert meters.of_device(connection, board.id) == []
        meters.attach(connection, board.id, "shelly:10.0.0.7", user="ada")
    with database.engine.begin() as connection:
        (meter,) = meters.of_device(connection, "d")
        assert (meter.spec, meter.attached_by) == ("shelly:10.0.0.7", "ada")
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        assert "meters" not in inspect(connection).get_table_names()
        assert [each.epoch for each in devices.every(connection)] == [3]
    database.close()
