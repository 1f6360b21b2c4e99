"""A variant's end is written in the end, however long the database can't."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from edgemeter_coordinator.conversion import engine
from edgemeter_coordinator.conversion.engine import ConversionEngine, Settled
from edgemeter_coordinator.store.database import Database


@pytest.mark.asyncio
async def test_an_end_that_could_not_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RETRY_S", 0.0)
    database = Database.in_directory(tmp_path)
    conversions = ConversionEngine(
        database=database,
        bench=cast("Any", None),
        changes=cast("Any", None),
        sessions=cast("Any", None),
    )
    tried: list[str] = []

    def end(_connection: Connection, variant_id: str) -> Settled:
        tried.append(variant_id)
        if len(tried) < 3:
            raise OperationalError("UPDATE", {}, Exception("database or disk is full"))
        return Settled(study_ids=("s",))

    try:
        assert await conversions._recorded(end, "v") == Settled(study_ids=("s",))
    finally:
        database.close()
    assert tried == ["v"] * 3
