"""Rows of a study whose variants are built already: for tests of what comes after conversion."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from edgemeter_coordinator.schedule.leases import JobState
from edgemeter_coordinator.store import devices, jobs
from edgemeter_coordinator.store.schema import datasets, models, studies, study_variants, variants
from edgemeter_protos.v1 import device_pb2, lab_pb2, plan_pb2, variant_pb2

EVALUATION_SAMPLES = 10


def digest(content: bytes | str) -> str:
    """SHA-256, as blobs are named."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class StudyRows:
    study_id: str
    job_ids: Sequence[str]
    variant_ids: Sequence[str]
    manifests: Sequence[variant_pb2.Manifest]
    evaluation_digest: str


def add_device(connection: Connection, device_id: str, certificate_sha256: str = "") -> None:
    """A board that has joined."""
    devices.insert(
        connection,
        device_id=device_id,
        wanted_name=device_id,
        labels={},
        facts=device_pb2.DeviceFacts(hostname=device_id),
        certificate_sha256=certificate_sha256,
    )


def add_study(
    connection: Connection,
    device_ids: Sequence[str],
    *,
    study_id: str = "study",
    states: Sequence[str] = ("ready", "ready"),
    job_state: JobState = JobState.QUEUED,
) -> StudyRows:
    """A study with one variant for each of `states`, and a job for each device. No blob is made."""
    model, data = digest(f"model of {study_id}"), digest(f"data of {study_id}")
    evaluation = digest(f"evaluation of {study_id}")
    connection.execute(
        models.insert().values(
            digest=model,
            name=f"{study_id}-model",
            file_name="model.keras",
            framework="keras",
            task="",
            size_bytes=1,
            parameters=1,
            signature=variant_pb2.Signature().SerializeToString(),
            added_at_ms=0,
        )
    )
    splits = [
        lab_pb2.Split(name="training", samples=90),
        lab_pb2.Split(name="evaluation", samples=EVALUATION_SAMPLES),
    ]
    connection.execute(
        datasets.insert().values(
            digest=data,
            name=f"{study_id}-data",
            file_name="data.npz",
            size_bytes=1,
            description=lab_pb2.Dataset(digest=data, splits=splits).SerializeToString(),
            calibration_digest="",
            evaluation_digest="",
            evaluation_inputs_blob=evaluation,
            added_at_ms=0,
        )
    )
    connection.execute(
        studies.insert().values(
            id=study_id,
            name=study_id,
            model_digest=model,
            dataset_digest=data,
            plan=plan_pb2.Plan(profile="quick", blocks=3).SerializeToString(),
            created_by="tester",
            created_at_ms=0,
        )
    )
    ids, manifests = [], []
    for position, state in enumerate(states):
        variant_id = f"{study_id}-v{position}"
        manifest = variant_pb2.Manifest(
            variant_id=variant_id,
            artifact_digest=digest(f"artifact {variant_id}"),
            compressed_digest=digest(f"compressed {variant_id}"),
            golden=variant_pb2.GoldenPair(digest=digest(f"golden {variant_id}")),
            runtimes=[variant_pb2.RuntimeRequirement(runtime="litert")],
        )
        ids.append(variant_id)
        manifests.append(manifest)
        connection.execute(
            variants.insert().values(
                id=variant_id,
                model_digest=model,
                dataset_digest=data,
                recipe=f"recipe{position}",
                state=state,
                manifest=manifest.SerializeToString() if state == "ready" else None,
                created_at_ms=0,
            )
        )
        connection.execute(
            study_variants.insert().values(
                study_id=study_id, position=position, variant_id=variant_id, reused=False
            )
        )
    return StudyRows(
        study_id=study_id,
        job_ids=jobs.create(connection, study_id, device_ids, job_state),
        variant_ids=ids,
        manifests=manifests,
        evaluation_digest=evaluation,
    )
