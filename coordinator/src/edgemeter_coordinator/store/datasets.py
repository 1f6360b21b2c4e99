"""Datasets: what calibrates and evaluates, and the blobs that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.named import Named
from edgemeter_coordinator.store.schema import datasets
from edgemeter_protos.v1 import lab_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetRow:
    digest: str
    name: str
    file_name: str
    size_bytes: int
    # Splits, inputs and classes; the other fields are filled from this row.
    description: lab_pb2.Dataset
    # Of the samples, not of files; empty where there is no such split.
    calibration_digest: str
    evaluation_digest: str
    # None where it has no evaluation split, or no labels.
    evaluation_inputs_blob: str | None
    evaluation_labels_blob: str | None
    added_at_ms: int


def add(
    connection: Connection,
    *,
    digest: str,
    name: str,
    file_name: str,
    size_bytes: int,
    description: lab_pb2.Dataset,
    calibration_digest: str,
    evaluation_digest: str,
    evaluation_inputs_blob: str | None,
    evaluation_labels_blob: str | None,
) -> DatasetRow:
    """Inserts a dataset whose digest and name are both new."""
    row = DatasetRow(
        digest=digest,
        name=name,
        file_name=file_name,
        size_bytes=size_bytes,
        description=description,
        calibration_digest=calibration_digest,
        evaluation_digest=evaluation_digest,
        evaluation_inputs_blob=evaluation_inputs_blob,
        evaluation_labels_blob=evaluation_labels_blob,
        added_at_ms=now_ms(connection),
    )
    connection.execute(
        insert(datasets).values(
            digest=digest,
            name=name,
            file_name=file_name,
            size_bytes=size_bytes,
            description=description.SerializeToString(),
            calibration_digest=calibration_digest,
            evaluation_digest=evaluation_digest,
            evaluation_inputs_blob=evaluation_inputs_blob,
            evaluation_labels_blob=evaluation_labels_blob,
            added_at_ms=row.added_at_ms,
        )
    )
    return row


def _dataset(row: Row[Any]) -> DatasetRow:
    return DatasetRow(
        digest=row.digest,
        name=row.name,
        file_name=row.file_name,
        size_bytes=row.size_bytes,
        description=lab_pb2.Dataset.FromString(row.description),
        calibration_digest=row.calibration_digest,
        evaluation_digest=row.evaluation_digest,
        evaluation_inputs_blob=row.evaluation_inputs_blob,
        evaluation_labels_blob=row.evaluation_labels_blob,
        added_at_ms=row.added_at_ms,
    )


_named = Named(datasets, _dataset)
by_digest, by_name, referred, every = _named.by_digest, _named.by_name, _named.referred, _named.every
