"""What --json prints of each noun. Keys carry their units; times are ISO 8601 in UTC, or null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from edgemeter_coordinator.report import plan_view
from edgemeter_coordinator.report.numbers import bits_per_weight, sparsity
from edgemeter_protos import preprocessing as how
from edgemeter_protos.report import onboard, times
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
        "macs": one.macs or None,
        "trainable": one.trainable,
        "inputs": [tensor(spec) for spec in one.signature.inputs],
        "outputs": [tensor(spec) for spec in one.signature.outputs],
        "preprocessing": [how.text(each) for each in one.preprocessing],
        "layers": [
            {"kind": each.kind, "count": each.count, "parameters": each.parameters} for each in one.layers
        ],
        "added_at": iso_time(one.added_at_unix_ms),
    }


def applicability(one: lab_pb2.Applicability) -> Record:
    return {"recipe": one.recipe, "applies": one.applies, "reason": one.reason or None}


def dataset(one: lab_pb2.Dataset) -> Record:
    return {
        "digest": one.digest,
        "name": one.name,
        "size_bytes": one.size_bytes,
        "splits": {split.name: split.samples for split in one.splits},
        "inputs": [tensor(spec) for spec in one.inputs],
        "classes": one.classes or None,
        "labels": tensor(one.labels) if one.HasField("labels") else None,
        "vocabulary_digest": one.vocabulary_digest or None,
        "added_at": iso_time(one.added_at_unix_ms),
    }


def recipe(one: lab_pb2.Recipe) -> Record:
    return {
        "text": one.text,
        "summary": one.summary,
        "needs_calibration": one.needs_calibration,
        "needs_training": one.needs_training,
        "formats": list(one.formats),
        "parameters": [
            {"name": each.name, "help": each.help, "usual": each.usual or None} for each in one.parameters
        ],
        "runtimes": [requirement(need) for need in one.runtimes],
    }


def requirement(one: variant_pb2.RuntimeRequirement) -> Record:
    return {
        "runtime": one.runtime,
        "min_version": one.min_version or None,
        "below_version": one.below_version or None,
    }


def quality(one: variant_pb2.Quality) -> Record:
    return {
        "metric": one.metric or None,
        "value": None if one.unscored_reason else one.value,
        "n": one.samples,
        "ci95": [one.ci95_low, one.ci95_high] if one.HasField("ci95_low") else None,
        "against": one.against or None,
        "lower_is_better": one.lower_is_better,
        "unscored_reason": one.unscored_reason or None,
    }


def output_error(one: variant_pb2.OutputError) -> Record:
    """`sqnr_db` is null where the outputs are equal."""
    return {
        "max_absolute": one.max_absolute,
        "sqnr_db": one.sqnr_db if one.HasField("sqnr_db") else None,
        "n": one.samples,
    }


def layer_error(one: variant_pb2.LayerError) -> Record:
    return {"layer": one.layer, "kind": one.kind, **output_error(one.error)}


def stage(one: variant_pb2.Stage) -> Record:
    return {
        "step": one.step,
        "reused": one.reused,
        "duration_ns": one.duration_ns,
        "parameters": one.parameters,
        "non_zero_parameters": one.non_zero_parameters,
        "macs": one.macs or None,
        "epochs": one.epochs,
        "first_loss": one.first_loss if one.HasField("first_loss") else None,
        "last_loss": one.last_loss if one.HasField("last_loss") else None,
        "notes": list(one.notes),
    }


def manifest(one: variant_pb2.Manifest) -> Record:
    """All there is to know of a variant's file."""
    return {
        "format": one.format,
        "task": one.task or None,
        "artifact_digest": one.artifact_digest,
        "size_bytes": one.size_bytes,
        "compressed_size_bytes": one.compressed_size_bytes,
        "parameters": one.parameters,
        "non_zero_parameters": one.non_zero_parameters,
        "sparsity": sparsity(one),
        "macs": one.macs or None,
        "bits_per_weight": bits_per_weight(one),
        "inputs": [tensor(spec) for spec in one.signature.inputs],
        "outputs": [tensor(spec) for spec in one.signature.outputs],
        "preprocessing": [how.text(each) for each in one.preprocessing],
        "quality": quality(one.quality) if one.HasField("quality") else None,
        "agreement": quality(one.agreement) if one.HasField("agreement") else None,
        "metrics": [quality(each) for each in one.metrics],
        "output_error": output_error(one.output_error) if one.HasField("output_error") else None,
        "stages": [stage(each) for each in one.stages],
        "kept_layers": list(one.kept_layers),
        "conversion_duration_ns": one.conversion_duration_ns,
        "conversion_peak_rss_bytes": one.conversion_peak_rss_bytes or None,
        "tool_versions": dict(sorted(one.tool_versions.items())),
        "calibration_digest": one.calibration_digest or None,
        "seed": one.seed,
        "deterministic": one.deterministic,
        "runtimes": [requirement(need) for need in one.runtimes],
        "golden": {
            "digest": one.golden.digest,
            "absolute_tolerance": one.golden.absolute_tolerance,
            "relative_tolerance": one.golden.relative_tolerance,
        },
        "attachments": [
            {"name": each.name, "about": each.about, "size_bytes": each.size_bytes, "digest": each.digest}
            for each in one.attachments
        ],
        "notes": list(one.notes),
    }


def variant(one: lab_pb2.Variant) -> Record:
    return {
        "id": one.id,
        "recipe": one.recipe,
        "model": {"name": one.model_name, "digest": one.model_digest},
        "dataset": {"name": one.dataset_name, "digest": one.dataset_digest} if one.dataset_digest else None,
        "state": variant_state(one.state),
        "error": one.error or None,
        "ended_at": iso_time(one.ended_at_unix_ms),
        "manifest": manifest(one.manifest) if one.HasField("manifest") else None,
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
        "runtimes": [
            {
                "name": runtime.name,
                "version": runtime.version,
                # Null: an agent of an earlier edgemeter does not say.
                "accelerators": list(runtime.accelerators) or None,
            }
            for runtime in one.runtimes
        ],
        "meters": [onboard.meter(meter) for meter in one.meters],
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
        "attached_meters": [attached_meter(each) for each in one.meters],
        "last_seen_at": iso_time(one.last_seen_unix_ms),
        "joined_at": iso_time(one.joined_at_unix_ms),
    }


def attached_meter(one: lab_pb2.AttachedMeter) -> Record:
    return {
        "spec": one.spec,
        "attached_by": one.attached_by or None,
        "attached_at": iso_time(one.attached_at_unix_ms),
    }


def meters(one: lab_pb2.Device) -> list[Record]:
    """A board's own, then what was attached: of that the coordinator knows no more than how it is reached."""
    nothing = onboard.meter(device_pb2.MeterFacts(), there=False)
    own = [
        {"device": one.name, "spec": None, "attached": False, **onboard.meter(each)}
        for each in one.facts.meters
    ]
    return own + [{"device": one.name, "spec": each.spec, "attached": True, **nothing} for each in one.meters]


def study(one: lab_pb2.Study) -> Record:
    least = plan_view.least(one.plan, len(one.variants))
    return {
        "id": one.id,
        "name": one.name,
        "state": study_state(one.state),
        "model": {"name": one.model_name, "digest": one.model_digest},
        "dataset": {"name": one.dataset_name, "digest": one.dataset_digest} if one.dataset_digest else None,
        "profile": one.plan.profile,
        "plan": times.plan(one.plan),
        # On each board; slow models, voided blocks and waiting for a quiet board come on top.
        "measuring_at_least_ns": {
            "blocks": least.blocks_ns,
            "energy_where_metered": least.energy_ns,
            "sustained": least.sustained_ns,
        },
        "variants": [
            {
                "id": variant.variant_id,
                "recipe": variant.recipe,
                "state": variant_state(variant.state),
                "reused": variant.reused,
                "error": variant.error or None,
                "fraction": variant.fraction,
                "phase": variant.phase or None,
                "reused_steps": variant.reused_steps or None,
                "estimated_duration_ms": variant.estimated_duration_ms
                if variant.HasField("estimated_duration_ms")
                else None,
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
