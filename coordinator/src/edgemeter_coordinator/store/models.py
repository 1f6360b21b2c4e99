"""Models: immutable originals, named by digest and by a unique name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.named import Named
from edgemeter_coordinator.store.schema import models
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    digest: str
    name: str
    file_name: str
    framework: str
    task: str
    size_bytes: int
    parameters: int
    signature: variant_pb2.Signature
    added_at_ms: int


def add(
    connection: Connection,
    *,
    digest: str,
    name: str,
    file_name: str,
    framework: str,
    task: str,
    size_bytes: int,
    parameters: int,
    signature: variant_pb2.Signature,
) -> ModelRow:
    """Inserts a model whose digest and name are both new."""
    row = ModelRow(
        digest=digest,
        name=name,
        file_name=file_name,
        framework=framework,
        task=task,
        size_bytes=size_bytes,
        parameters=parameters,
        signature=signature,
        added_at_ms=now_ms(connection),
    )
    connection.execute(
        insert(models).values(
            digest=digest,
            name=name,
            file_name=file_name,
            framework=framework,
            task=task,
            size_bytes=size_bytes,
            parameters=parameters,
            signature=signature.SerializeToString(),
            added_at_ms=row.added_at_ms,
        )
    )
    return row


def _model(row: Row[Any]) -> ModelRow:
    return ModelRow(
        digest=row.digest,
        name=row.name,
        file_name=row.file_name,
        framework=row.framework,
        task=row.task,
        size_bytes=row.size_bytes,
        parameters=row.parameters,
        signature=variant_pb2.Signature.FromString(row.signature),
        added_at_ms=row.added_at_ms,
    )


_named = Named(models, _model)
by_digest, by_name, referred, every = _named.by_digest, _named.by_name, _named.referred, _named.every
