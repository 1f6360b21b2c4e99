"""What an assignment means for this board: its blobs, and the engine's job. Pure."""

from __future__ import annotations

from pathlib import Path

from edgemeter_agent.link.fetching import CompressedBlob
from edgemeter_protos.v1 import engine_pb2, fleet_pb2

EXEC = "exec:"


def engine_job(
    assignment: fleet_pb2.Assignment,
    files: dict[str, Path],
    work_dir: Path,
    *,
    calibrations_dir: Path,
    allow_exec_meters: bool = False,
) -> engine_pb2.EngineJob:
    """The engine's view of an assignment whose blobs lie in `files`, by digest."""
    evaluation = assignment.evaluation.digest
    return engine_pb2.EngineJob(
        plan=assignment.plan,
        variants=[
            engine_pb2.EngineVariant(
                variant_id=manifest.variant_id,
                label=manifest.recipe,
                format=manifest.format,
                artifact_path=str(files[manifest.artifact_digest]),
                artifact_digest=manifest.artifact_digest,
                golden_path=str(files[manifest.golden.digest]) if manifest.golden.digest else "",
                golden=manifest.golden,
                runtimes=manifest.runtimes,
                preprocessing=manifest.preprocessing,
                generation=manifest.generation if manifest.HasField("generation") else None,
                sample_noun=manifest.sample_noun,
            )
            for manifest in assignment.variants
        ],
        evaluation_path=str(files[evaluation]) if evaluation else "",
        work_dir=str(work_dir),
        meters=[spec for spec in assignment.meters if allowed(spec, allow_exec_meters)],
        refused_meters=[spec for spec in assignment.meters if not allowed(spec, allow_exec_meters)],
        calibrations_dir=str(calibrations_dir),
    )


def allowed(meter_spec: str, allow_exec: bool) -> bool:
    """Programs are meters only where this board's operator has allowed them: whoever may attach a meter could
    else run anything here."""
    return allow_exec or not meter_spec.startswith(EXEC)


def wanted_blobs(assignment: fleet_pb2.Assignment) -> list[str]:
    """Digests of all that the engine reads, each once, smallest trouble first: artifacts, then data."""
    digests = [manifest.artifact_digest for manifest in assignment.variants]
    digests += [manifest.golden.digest for manifest in assignment.variants]
    digests.append(assignment.evaluation.digest)
    return list(dict.fromkeys(digest for digest in digests if digest))


def compressed_blobs(assignment: fleet_pb2.Assignment) -> dict[str, CompressedBlob]:
    """What may be fetched in place of artifacts, by their digest."""
    return {
        manifest.artifact_digest: CompressedBlob(
            digest=manifest.compressed_digest, content_bytes=manifest.size_bytes
        )
        for manifest in assignment.variants
        if manifest.compressed_digest
    }
