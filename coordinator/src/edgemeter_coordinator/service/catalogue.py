"""Models and data that are to be added: their names, and whether they are known already."""

from __future__ import annotations

from pathlib import PurePosixPath

from sqlalchemy import Connection

from edgemeter_coordinator.blobs import check_digest
from edgemeter_coordinator.conversion.engine import Inspected
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service import bounds
from edgemeter_coordinator.store import datasets, models
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2


def added(noun: str, digest: str, name: str, file_name: str) -> tuple[str, str, str]:
    """Digest, name and file name of what is to be added. Raises Refused (BAD_REQUEST)."""
    base = PurePosixPath(file_name.replace("\\", "/")).name
    bounds.check(0 < len(base) <= 256, f"the {noun}'s file name is missing or too long")
    stem = PurePosixPath(base).stem
    return check_digest(digest), bounds.check_name(noun, name or stem), base


def known_model(connection: Connection, digest: str, name: str) -> ModelRow | None:
    """The model of this digest. Raises Refused (ALREADY_EXISTS) where `name` is another one's."""
    known = models.by_digest(connection, digest)
    if known is None and (other := models.by_name(connection, name)) is not None:
        raise _name_taken("model", name, other.digest)
    return known


def known_dataset(connection: Connection, digest: str, name: str) -> DatasetRow | None:
    """As known_model."""
    known = datasets.by_digest(connection, digest)
    if known is None and (other := datasets.by_name(connection, name)) is not None:
        raise _name_taken("dataset", name, other.digest)
    return known


def _name_taken(noun: str, name: str, digest: str) -> Refused:
    return Refused(
        refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS,
        f"{name!r} is the name of another {noun} ({digest[:12]}): name this one otherwise (--name)",
    )


def description(inspected: Inspected) -> lab_pb2.Dataset:
    """What the datasets table keeps of an inspection."""
    report = inspected.report
    return lab_pb2.Dataset(
        splits=[lab_pb2.Split(name=name, samples=samples) for name, samples in report.splits],
        inputs=[variant_pb2.TensorSpec.FromString(spec) for spec in report.inputs],
        classes=report.classes,
    )
