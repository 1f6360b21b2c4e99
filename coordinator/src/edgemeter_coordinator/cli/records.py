"""What --json prints of each noun. Keys carry their units; times are ISO 8601 in UTC, or null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edgemeter_protos.v1 import device_pb2, lab_pb2, variant_pb2

Record = dict[str, Any]


def iso_time(unix_ms: int) -> str | None:
    """None for 0, which stands for "not yet" and "never"."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds") if unix_ms else None


def _enum(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def variant_state(state: lab_pb2.VariantState.ValueType) -> str:
    """ "waiting", "converting", "ready" or "failed"."""
    return _enum(lab_pb2.VariantState.Name(state), "VARIANT_STATE_")


def job_state(state: lab_pb2.JobState.ValueType) -> str:
    """ "waiting", "queued", "running", "completed", "failed" or "cancelled"."""
    return _enum(lab_pb2.JobState.Name(state), "JOB_STATE_")


def study_state(state: lab_pb2.StudyState.ValueType) -> str:
    """ "converting", "measuring", "completed", "failed" or "cancelled"."""
    return _enum(lab_pb2.StudyState.Name(state), "STUDY_STATE_")


def tensor(spec: variant_pb2.TensorSpec) -> Record:
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)}


def model(one: lab_pb2.Model) -> Record:
    return {
        "digest": one.digest,
        "name": one.name,
        "framework": one.framework,
        "task": one.task,
        "size_bytes": one.size_bytes,
        "parameters": one.parameters,
        "inputs": [tensor(spec) for spec in one.signature.inputs],
        "outputs": [tensor(spec) for spec in one.signature.outputs],
        "added_at": iso_time(one.added_at_unix_ms),
    }


def dataset(one: lab_pb2.Dataset) -> Record:
    return {
        "digest": one.digest,
        "name": one.name,
        "size_bytes": one.size_bytes,
        "splits": {split.name: split.samples for split in one.splits},
        "inputs": [tensor(spec) for spec in one.inputs],
        "classes": one.classes or None,
        "added_at": iso_time(one.added_at_unix_ms),
    }


def recipe(one: lab_pb2.Recipe) -> Record:
    return {
        "text": one.text,
        "summary": one.summary,
        "needs_calibration": one.needs_calibration,
        "runtimes": [
            {
                "runtime": need.runtime,
                "min_version": need.min_version or None,
                "below_version": need.below_version or None,
            }
            for need in one.runtimes
        ],
    }


def facts(one: device_pb2.DeviceFacts) -> Record:
    return {
        "hostname": one.hostname,
        "board": one.board,
        "soc": one.soc,
        "arch": one.arch,
        "os": one.os,
        "kernel": one.kernel,
        "libc": one.libc,
        "cpu_count": one.cpu_count,
        "memory_bytes": one.memory_bytes,
        "python_version": one.python_version,
        "agent_version": one.agent_version,
        "runtimes": [{"name": runtime.name, "version": runtime.version} for runtime in one.runtimes],
        "meters": [{"name": meter.name, "coverage": meter.coverage} for meter in one.meters],
        "observables": [
            {"name": each.name, "available": each.available, "detail": each.detail}
            for each in one.observables
        ],
        "emulated": one.emulated,
    }


def device(one: lab_pb2.Device) -> Record:
    return {
        "id": one.id,
        "name": one.name,
        "labels": dict(sorted(one.labels.items())),
        "attached": one.attached,
        "job": one.job_id or None,
        "facts": facts(one.facts),
        "last_seen_at": iso_time(one.last_seen_unix_ms),
        "joined_at": iso_time(one.joined_at_unix_ms),
    }


def study(one: lab_pb2.Study) -> Record:
    return {
        "id": one.id,
        "name": one.name,
        "state": study_state(one.state),
        "model": {"name": one.model_name, "digest": one.model_digest},
        "dataset": {"name": one.dataset_name, "digest": one.dataset_digest} if one.dataset_digest else None,
        "profile": one.plan.profile,
        "variants": [
            {
                "id": variant.variant_id,
                "recipe": variant.recipe,
                "state": variant_state(variant.state),
                "reused": variant.reused,
                "error": variant.error or None,
            }
            for variant in one.variants
        ],
        "jobs": [
            {
                "id": job.id,
                "device": {"id": job.device_id, "name": job.device_name},
                "state": job_state(job.state),
                "attempt": job.attempt,
                "fraction": job.fraction,
                "phase": job.phase or None,
                "detail": job.detail or None,
            }
            for job in one.jobs
        ],
        "created_at": iso_time(one.created_at_unix_ms),
        "ended_at": iso_time(one.ended_at_unix_ms),
        "created_by": one.created_by,
    }


def token(one: lab_pb2.TokenInfo) -> Record:
    return {
        "id": one.id,
        "kind": _enum(lab_pb2.TokenKind.Name(one.kind), "TOKEN_KIND_"),
        "user": one.user or None,
        "labels": dict(sorted(one.labels.items())),
        "uses_left": one.uses_left if one.kind == lab_pb2.TOKEN_KIND_JOIN else None,
        "expires_at": iso_time(one.expires_at_unix_ms),
    }
