"""A full disk is told apart from a mistake of ours, whether a file or the database met it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from edgemeter_coordinator.service.access import _is_full_disk
from edgemeter_coordinator.store.database import Database


def test_a_file_that_found_no_room() -> None:
    assert _is_full_disk(OSError(errno.ENOSPC, "No space left on device"))
    assert not _is_full_disk(OSError(errno.EIO, "Input/output error"))
    assert not _is_full_disk(ValueError("full"))


def test_a_database_that_found_no_room(tmp_path: Path) -> None:
    database = Database.in_directory(tmp_path)
    with database.engine.connect() as connection:
        connection.execute(text("CREATE TABLE filled (content BLOB)"))
        # SQLite's own limit gives the error that a full disk gives.
        connection.execute(text("PRAGMA max_page_count = 1"))
        with pytest.raises(OperationalError) as full:
            connection.execute(text("INSERT INTO filled VALUES (zeroblob(1000000))"))
        connection.rollback()
        with pytest.raises(OperationalError) as other:
            connection.execute(text("SELECT nothing"))
    database.close()
    assert _is_full_disk(full.value)
    assert not _is_full_disk(other.value)
