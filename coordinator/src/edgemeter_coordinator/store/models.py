"""Models: originals, named by digest and by a unique name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, update

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.named import Named
from edgemeter_coordinator.store.schema import models
from edgemeter_protos.v1 import lab_pb2, variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What a look at a model found."""

    framework: str
    task: str
    parameters: int
    signature: variant_pb2.Signature
    # Given by the user, of one sample each; empty where the file tells.
    inputs: Sequence[variant_pb2.TensorSpec] = ()
    # Its fields macs, layers, preprocessing and vocabulary_digest.
    description: lab_pb2.Model


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
    # "package.module:function" that made it; empty for a file.
    function: str
    inputs: Sequence[variant_pb2.TensorSpec]
    # None where an earlier edgemeter added it, which did not look for them.
    description: lab_pb2.Model | None

    @property
    def preprocessing(self) -> tuple[bytes, ...]:
        """A serialized Preprocessing for each input, or none."""
        return tuple(
            each.SerializeToString(deterministic=True)
            for each in (self.description.preprocessing if self.description else ())
        )


def add(
    connection: Connection,
    *,
    digest: str,
    name: str,
    file_name: str,
    size_bytes: int,
    looked: Looked,
    function: str = "",
) -> ModelRow:
    """Inserts a model whose digest and name are both new."""
    connection.execute(
        insert(models).values(
            digest=digest,
            name=name,
            file_name=file_name,
            size_bytes=size_bytes,
            function=function,
            added_at_ms=now_ms(connection),
            **_columns(looked),
        )
    )
    added = by_digest(connection, digest)
    assert added is not None
    return added


def describe(connection: Connection, digest: str, looked: Looked) -> ModelRow:
    """Replaces what is known of a model by what another look at it found."""
    connection.execute(update(models).where(models.c.digest == digest).values(**_columns(looked)))
    described = by_digest(connection, digest)
    assert described is not None
    return described


def _columns(looked: Looked) -> dict[str, Any]:
    return {
        "framework": looked.framework,
        "task": looked.task,
        "parameters": looked.parameters,
        "signature": looked.signature.SerializeToString(),
        "inputs": variant_pb2.Signature(inputs=looked.inputs).SerializeToString() if looked.inputs else None,
        "description": looked.description.SerializeToString(),
    }


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
        function=row.function,
        inputs=tuple(variant_pb2.Signature.FromString(row.inputs).inputs) if row.inputs is not None else (),
        description=lab_pb2.Model.FromString(row.description) if row.description is not None else None,
    )


_named = Named(models, _model)
by_digest, by_name, referred, every = _named.by_digest, _named.by_name, _named.referred, _named.every
