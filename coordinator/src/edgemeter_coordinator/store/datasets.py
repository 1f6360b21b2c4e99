"""Datasets: what calibrates, trains and evaluates, and the blobs that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, update

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.named import Named
from edgemeter_coordinator.store.schema import datasets
from edgemeter_protos.v1 import lab_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What a look at a dataset found, and the blobs that it left."""

    # Splits, inputs and classes.
    description: lab_pb2.Dataset
    # Of the samples, not of files.
    training_digest: str
    calibration_digest: str
    evaluation_digest: str
    # The .npz that builds read.
    canonical_blob: str
    # None where it has no evaluation split, or no labels.
    evaluation_inputs_blob: str | None
    evaluation_labels_blob: str | None


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
    # The .npz that builds read.
    canonical_blob: str
    # None where an earlier edgemeter added it, which did not look at what trains.
    training_digest: str | None

    def samples(self, split: str) -> int:
        """Of "training", "calibration" or "evaluation"."""
        return next((each.samples for each in self.description.splits if each.name == split), 0)


def add(
    connection: Connection, *, digest: str, name: str, file_name: str, size_bytes: int, looked: Looked
) -> DatasetRow:
    """Inserts a dataset whose digest and name are both new."""
    connection.execute(
        insert(datasets).values(
            digest=digest,
            name=name,
            file_name=file_name,
            size_bytes=size_bytes,
            added_at_ms=now_ms(connection),
            **_columns(looked),
        )
    )
    added = by_digest(connection, digest)
    assert added is not None
    return added


def describe(connection: Connection, digest: str, looked: Looked) -> DatasetRow:
    """Replaces what is known of a dataset by what another look at it found."""
    connection.execute(update(datasets).where(datasets.c.digest == digest).values(**_columns(looked)))
    described = by_digest(connection, digest)
    assert described is not None
    return described


def _columns(looked: Looked) -> dict[str, Any]:
    return {
        "description": looked.description.SerializeToString(),
        "training_digest": looked.training_digest,
        "calibration_digest": looked.calibration_digest,
        "evaluation_digest": looked.evaluation_digest,
        "canonical_blob": looked.canonical_blob,
        "evaluation_inputs_blob": looked.evaluation_inputs_blob,
        "evaluation_labels_blob": looked.evaluation_labels_blob,
    }


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
        canonical_blob=row.canonical_blob or row.digest,
        training_digest=row.training_digest,
    )


_named = Named(datasets, _dataset)
by_digest, by_name, referred, every = _named.by_digest, _named.by_name, _named.referred, _named.every
