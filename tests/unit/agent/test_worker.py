from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_agent.assignment import compressed_blobs, engine_job, wanted_blobs
from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.link.effects import KillAttempt
from edgemeter_agent.link.fetching import CompressedBlob
from edgemeter_agent.worker import EngineEnd, judge_end, judge_kill
from edgemeter_protos.v1 import engine_pb2, fleet_pb2, variant_pb2

COMPLETED = fleet_pb2.ATTEMPT_OUTCOME_COMPLETED
JOB_FAILED = fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED
DEVICE_FAILED = fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
CANCELLED = fleet_pb2.ATTEMPT_OUTCOME_CANCELLED
DONE = engine_pb2.EngineDone()


def ended(
    last: engine_pb2.EngineDone | engine_pb2.EngineFailure | None = None,
    exit_code: int = 0,
    last_words: str = "",
    overran: bool = False,
) -> EngineEnd:
    return EngineEnd(last=last, exit_code=exit_code, last_words=last_words, deadline_s=90.0, overran=overran)


@pytest.mark.parametrize(
    ("end", "outcome", "detail"),
    [
        pytest.param(ended(DONE), COMPLETED, "", id="done"),
        pytest.param(ended(DONE, exit_code=1), COMPLETED, "", id="its results stand, whatever came after"),
        pytest.param(ended(DONE, overran=True), COMPLETED, "", id="done at the last moment"),
        pytest.param(
            ended(engine_pb2.EngineFailure(detail="no runtime")), JOB_FAILED, "no runtime", id="failure"
        ),
        pytest.param(
            ended(exit_code=-9, overran=True),
            JOB_FAILED,
            "ran longer than the plan's deadline of 90 s",
            id="deadline",
        ),
        pytest.param(
            ended(exit_code=-9),
            DEVICE_FAILED,
            "the benchmark engine ended with signal 9 (Killed), as the system does when memory runs out",
            id="out of memory",
        ),
        pytest.param(
            ended(exit_code=-11),
            DEVICE_FAILED,
            "the benchmark engine ended with signal 11 (Segmentation fault)",
            id="crash",
        ),
        pytest.param(
            ended(exit_code=1, last_words="ImportError: numpy"),
            DEVICE_FAILED,
            "the benchmark engine ended with exit code 1: ImportError: numpy",
            id="exit",
        ),
        pytest.param(
            ended(),
            DEVICE_FAILED,
            "the benchmark engine ended with exit code 0",
            id="silently, without an end",
        ),
    ],
)
def test_judge_end(end: EngineEnd, outcome: fleet_pb2.AttemptOutcome.ValueType, detail: str) -> None:
    assert judge_end(end) == fleet_pb2.AttemptEnd(outcome=outcome, detail=detail)


@pytest.mark.parametrize(("device_failed", "outcome"), [(False, CANCELLED), (True, DEVICE_FAILED)])
def test_judge_kill(device_failed: bool, outcome: fleet_pb2.AttemptOutcome.ValueType) -> None:
    kill = KillAttempt(attempt=AttemptKey("a", 1), reason="why", device_failed=device_failed)
    assert judge_kill(kill) == fleet_pb2.AttemptEnd(outcome=outcome, detail="why")


def manifest(name: str, artifact: str, golden: str = "") -> variant_pb2.Manifest:
    return variant_pb2.Manifest(
        variant_id=name,
        recipe=f"{name}@tflite",
        format="tflite",
        artifact_digest=artifact,
        golden=variant_pb2.GoldenPair(digest=golden, absolute_tolerance=0.1),
        runtimes=[variant_pb2.RuntimeRequirement(runtime="litert")],
    )


def test_an_assignment_becomes_the_engines_job() -> None:
    assignment = fleet_pb2.Assignment(
        variants=[manifest("float32", "a1", "g"), manifest("int8", "a2", "g"), manifest("same", "a1")],
        evaluation=fleet_pb2.EvaluationInputs(digest="e", samples=5),
    )
    assignment.plan.threads = 2
    assignment.variants[0].preprocessing.add(scale=1 / 255)
    assert wanted_blobs(assignment) == ["a1", "a2", "g", "e"]
    files = {digest: Path("/cache", digest) for digest in wanted_blobs(assignment)}
    job = engine_job(assignment, files, Path("/work"), calibrations_dir=Path("/calibrations"))
    assert job.plan.threads == 2
    assert job.evaluation_path == "/cache/e"
    assert job.work_dir == "/work"
    first, _, last = job.variants
    assert (first.variant_id, first.label, first.format) == ("float32", "float32@tflite", "tflite")
    assert (first.artifact_path, first.artifact_digest, first.golden_path) == ("/cache/a1", "a1", "/cache/g")
    assert first.golden.absolute_tolerance == 0.1
    assert first.runtimes[0].runtime == "litert"
    assert [each.scale for each in first.preprocessing] == [1 / 255]
    assert not last.preprocessing
    assert last.golden_path == ""


def test_a_study_without_data_has_no_evaluation() -> None:
    assignment = fleet_pb2.Assignment(variants=[manifest("float32", "a1")])
    assert wanted_blobs(assignment) == ["a1"]
    job = engine_job(assignment, {"a1": Path("/a1")}, Path("/work"), calibrations_dir=Path("/c"))
    assert job.evaluation_path == ""


def test_what_may_be_fetched_compressed() -> None:
    plain, packed = manifest("float32", "a1"), manifest("int8", "a2")
    packed.compressed_digest, packed.size_bytes = "c2", 5000
    # One of an earlier coordinator says nothing of it.
    assignment = fleet_pb2.Assignment(variants=[plain, packed])
    assert wanted_blobs(assignment) == ["a1", "a2"]
    assert compressed_blobs(assignment) == {"a2": CompressedBlob(digest="c2", content_bytes=5000)}


@pytest.mark.parametrize(
    ("allow", "read", "refused"),
    [
        (False, ["remote:host:7420"], ["exec:watts --fast"]),
        (True, ["exec:watts --fast", "remote:host:7420"], []),
    ],
)
def test_programs_of_others_are_meters_only_where_the_operator_allows_them(
    allow: bool, read: list[str], refused: list[str]
) -> None:
    assignment = fleet_pb2.Assignment(meters=["exec:watts --fast", "remote:host:7420"])
    job = engine_job(assignment, {}, Path("/work"), calibrations_dir=Path("/c"), allow_exec_meters=allow)
    assert job.meters == read
    assert job.refused_meters == refused
