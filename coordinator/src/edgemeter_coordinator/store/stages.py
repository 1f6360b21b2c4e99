"""Stages: what the steps at a recipe's beginning left of a model, kept for every recipe that begins so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import stages
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    id: str
    model_digest: str
    # "low-rank(0.5)+prune(0.5)"; the last is what this stage did.
    steps: str
    blob: str
    file_name: str
    stage: variant_pb2.Stage


def keep(connection: Connection, row: StageRow) -> None:
    """Inserts a stage, in the place of one whose blob was lost."""
    connection.execute(delete(stages).where(stages.c.id == row.id))
    connection.execute(
        insert(stages).values(
            id=row.id,
            model_digest=row.model_digest,
            steps=row.steps,
            blob=row.blob,
            file_name=row.file_name,
            stage=row.stage.SerializeToString(),
            created_at_ms=now_ms(connection),
        )
    )


def get(connection: Connection, stage_id: str) -> StageRow | None:
    row = connection.execute(select(stages).where(stages.c.id == stage_id)).one_or_none()
    return _stage(row) if row else None


def kept(connection: Connection, ids: Iterable[str]) -> dict[str, StageRow]:
    """By id, those of `ids` that there are."""
    rows = connection.execute(select(stages).where(stages.c.id.in_(list(ids))))
    return {row.id: _stage(row) for row in rows}


def newest(connection: Connection, limit: int) -> list[StageRow]:
    """The newest first."""
    rows = connection.execute(
        select(stages).order_by(stages.c.created_at_ms.desc(), stages.c.id).limit(limit)
    )
    return [_stage(row) for row in rows]


def _stage(row: Row[Any]) -> StageRow:
    return StageRow(
        id=row.id,
        model_digest=row.model_digest,
        steps=row.steps,
        blob=row.blob,
        file_name=row.file_name,
        stage=variant_pb2.Stage.FromString(row.stage),
    )
