"""Whole jobs with real models, runtimes and processes. Nothing of how fast anything was is asserted."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.board import governor
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine import latency_phase
from edgemeter_agent.engine.variant_process import VariantProcess
from edgemeter_agent.runtimes import LoadOptions, kind, loader
from edgemeter_protos.v1 import engine_pb2, plan_pb2, result_pb2, variant_pb2

pytestmark = pytest.mark.needs_tensorflow

VOID = result_pb2.VERDICT_STATE_VOID


def test_a_job_gives_each_variant_a_complete_result(
    job: Any, measure: Any, variant: Any, models: Any, images: Any, tmp_path: Path
) -> None:
    evaluation_path = tmp_path / "evaluation.npz"
    np.savez(evaluation_path, input_0=images)
    names = ("float32", "int8")
    variants = [variant(name) for name in names]
    # The one takes the samples as they are, the other preprocessed.
    variants[1].preprocessing.add(scale=0.5, mean=[0.25])
    outcome = measure(job(variants, str(evaluation_path), quality_samples=12))

    assert outcome.done
    assert [event.result.variant_id for event in outcome.results] == ["id-float32", "id-int8"]
    for name, event in zip(names, outcome.results, strict=True):
        result = event.result
        assert len(result.id) == 32
        assert result.runtime.name == "litert"
        assert result.runtime.version
        assert result.plan.quality_samples == 12
        assert result.cold.load_ns
        assert result.cold.first_inference_ns
        assert result.cold.processes == 2
        assert 0 < result.memory.model_bytes < result.memory.peak_rss_bytes
        assert result.memory.empty_peak_rss_bytes + result.memory.model_bytes <= result.peak_rss_bytes
        assert "CPU" in result.runtime.ran_on
        assert result.HasField("comparison") == (name == "int8")
        assert result.energy.status == result_pb2.ENERGY_STATUS_NO_METER
        assert result.energy.detail.startswith("no meter on this board")
        assert result.peak_rss_bytes > 10_000_000
        assert result.harness_overhead_ns > 0
        assert result.verdict.state in (result_pb2.VERDICT_STATE_VALID, result_pb2.VERDICT_STATE_DEGRADED)
        assert result.conditions.blocks_kept == 4
        assert {one.name for one in result.conditions.unreadable} >= {"temperature", "frequency", "steal"}

        latency = result.latency
        with np.load(event.samples_path, allow_pickle=False) as samples:
            assert {key: samples[key].dtype.name for key in samples} == {
                "latency_ns": "int64",
                "process": "int32",
                "block": "int32",
                "kept": "bool",
                "outlier": "bool",
            }
            taken = samples["latency_ns"]
            assert samples["kept"].all()
            assert {*zip(samples["process"].tolist(), samples["block"].tolist(), strict=True)} == {
                (0, 0), (0, 1), (1, 0), (1, 1)
            }  # fmt: skip
        assert latency.scenario == plan_pb2.SCENARIO_SINGLE_STREAM
        assert latency.samples == taken.size >= 4 * 30
        assert latency.batch_queries >= 1
        for field, percent in (("p50_ns", 50), ("p90_ns", 90), ("p99_ns", 99)):
            assert getattr(latency, field) == np.percentile(taken, percent, method="inverted_cdf")
        assert latency.mean_ns == pytest.approx(taken.mean())
        assert (latency.min_ns, latency.max_ns) == (taken.min(), taken.max())
        assert latency.ci95_low_ns <= latency.p50_ns <= latency.ci95_high_ns
        assert result.samples_digest == hashlib.sha256(Path(event.samples_path).read_bytes()).hexdigest()

        assert result.evaluated_samples == 12
        assert result.outputs_digest == hashlib.sha256(Path(event.outputs_path).read_bytes()).hexdigest()
        with np.load(event.outputs_path, allow_pickle=False) as outputs:
            assert list(outputs) == ["output_0"]
            assert outputs["output_0"].dtype == np.float32
            taken_in = images[:12] if name == "float32" else images[:12] * np.float32(0.5) - np.float32(0.25)
            np.testing.assert_array_equal(outputs["output_0"], directly(models.path(name), taken_in))

    fractions = [event.progress.fraction for event in outcome.events if event.HasField("progress")]
    phases = {event.progress.phase for event in outcome.events if event.HasField("progress")}
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert {"int8@tflite: block 3 of 4", "float32@tflite: evaluation", "measuring the harness"} <= phases


def directly(path: str, images: Any) -> Any:
    """The runtime without any of ours: quantization by hand."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for image in images:
        real = image[None].astype(np.float64)
        if given["dtype"] == np.int8:
            scale, zero = given["quantization"]
            real = np.clip(np.rint(real / scale) + zero, -128, 127)
        interpreter.set_tensor(given["index"], real.astype(given["dtype"]))
        interpreter.invoke()
        output = interpreter.get_tensor(taken["index"]).astype(np.float64)
        if taken["dtype"] == np.int8:
            scale, zero = taken["quantization"]
            output = (output - zero) * scale
        rows.append(output.astype(np.float32))
    return np.concatenate(rows)


def test_a_model_that_answers_wrongly_is_void_with_both_numbers(job: Any, measure: Any, variant: Any) -> None:
    tampered, sound = variant("float32", golden_shift=0.25), variant("int8")
    outcome = measure(job([tampered, sound]))
    assert outcome.state(0) == VOID
    with np.load(tampered.golden_path) as golden:
        expected = golden["output_0"]
    detail = outcome.reasons(0)["golden_mismatch"]
    given, wanted = numbers_of(detail)
    assert np.isclose(expected, wanted, rtol=1e-6).any()
    assert wanted - given == pytest.approx(0.25, abs=1e-6)
    assert not outcome.results[0].result.HasField("latency")
    assert outcome.results[0].samples_path == ""
    assert outcome.state(1) != VOID
    assert outcome.results[1].result.latency.samples


def numbers_of(detail: str) -> tuple[float, float]:
    """The device's number and the golden one."""
    words = detail.replace(";", "").split()
    return float(words[words.index("gave") + 1]), float(words[words.index("is") + 1])


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        (
            lambda v: v.MergeFrom(engine_pb2.EngineVariant(artifact_digest="0" * 64)),
            "artifact_damaged",
            "0" * 64,
        ),
        (lambda v: setattr(v, "artifact_path", "/nowhere.tflite"), "artifact_unreadable", "No such file"),
        (lambda v: setattr(v.runtimes[0], "min_version", "99"), "no_runtime", "litert>=99 is needed"),
        (lambda v: setattr(v, "golden_path", v.artifact_path), "golden_failed", "is no .npz of plain arrays"),
    ],
)
def test_what_is_not_admitted_is_void_and_the_others_go_on(
    job: Any, measure: Any, variant: Any, change: Callable[[Any], None], code: str, detail: str
) -> None:
    refused = variant("float32")
    change(refused)
    outcome = measure(job([refused, variant("int8")], processes=1))
    assert outcome.done
    assert outcome.state(0) == VOID
    assert detail in outcome.reasons(0)[code]
    assert outcome.results[1].result.latency.samples


def test_the_announced_digest_admits(job: Any, measure: Any, variant: Any) -> None:
    known = variant("int8")
    known.artifact_digest = hashlib.sha256(Path(known.artifact_path).read_bytes()).hexdigest()
    assert measure(job([known], processes=1)).results[0].result.latency.samples


def test_a_file_that_is_no_model_is_void(job: Any, measure: Any, variant: Any, tmp_path: Path) -> None:
    broken = variant("int8")
    whole = Path(broken.artifact_path).read_bytes()
    broken.artifact_path = str(tmp_path / "cut.tflite")
    Path(broken.artifact_path).write_bytes(whole[: len(whole) // 3])
    outcome = measure(job([broken], processes=1))
    assert outcome.done
    assert outcome.state(0) == VOID
    assert set(outcome.reasons(0)) & {"load_failed", "crashed"}


def test_pickles_in_a_golden_file_are_refused(job: Any, measure: Any, variant: Any, tmp_path: Path) -> None:
    evil = variant("int8")
    flag = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(flag),)

    np.savez(evil.golden_path, input_0=np.array([Evil()], object), output_0=np.zeros(1))
    outcome = measure(job([evil], processes=1))
    assert "golden_failed" in outcome.reasons(0)
    assert not flag.exists()


def test_a_variant_killed_in_a_block_is_crashed_and_the_others_are_measured(
    job: Any, measure: Any, variant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: dict[str, int] = {}
    original = VariantProcess.load

    def load(process: VariantProcess, request: engine_pb2.ChildLoad) -> Any:
        pids.setdefault(Path(request.artifact_path).name, process.pid)
        return original(process, request)

    monkeypatch.setattr(VariantProcess, "load", load)
    killers = []

    def kill_float32_in_its_second_block(event: engine_pb2.EngineEvent) -> None:
        if event.progress.phase == "float32@tflite: block 2 of 2":
            killer = threading.Timer(0.2, os.kill, (pids["float32.tflite"], signal.SIGKILL))
            killers.append(killer)
            killer.start()

    asked = job([variant("float32"), variant("int8")], processes=1, block_min_duration_ns=1_000_000_000)
    outcome = measure(asked, watch=kill_float32_in_its_second_block)
    assert len(killers) == 1
    assert outcome.done
    assert outcome.state(0) == VOID
    assert "SIGKILL" in outcome.reasons(0)["crashed"]
    # what it gave before stays to be looked at
    assert outcome.results[0].result.conditions.blocks_kept == 1
    assert outcome.state(1) != VOID
    assert outcome.results[1].result.conditions.blocks_kept == 2


def test_an_evaluation_that_fails_leaves_the_timings(
    job: Any, measure: Any, variant: Any, tmp_path: Path
) -> None:
    evaluation_path = tmp_path / "evaluation.npz"
    np.savez(evaluation_path, input_0=np.zeros((4, 5, 5, 1), np.float32))
    outcome = measure(job([variant("int8")], str(evaluation_path), processes=1))
    assert outcome.state(0) == result_pb2.VERDICT_STATE_DEGRADED
    detail = outcome.reasons(0)["evaluation_failed"]
    assert "[-1, 28, 28, 1]" in detail
    assert "[1, 5, 5, 1]" in detail
    assert outcome.results[0].result.latency.samples
    assert outcome.results[0].result.outputs_digest == ""


def test_without_golden_and_requirements_a_bare_file_is_measured(job: Any, measure: Any, models: Any) -> None:
    bare = engine_pb2.EngineVariant(variant_id="x", format="tflite", artifact_path=models.path("int8"))
    result = measure(job([bare], processes=1)).results[0].result
    assert result.latency.samples
    assert result.runtime.name == "litert"


def test_where_memory_does_not_hold_all_each_block_has_a_process_of_its_own(
    job: Any, measure: Any, variant: Any, still_board: BoardRoot
) -> None:
    meminfo = still_board.path("proc/meminfo")
    meminfo.write_text("MemTotal: 100000 kB\nMemAvailable: 50000 kB\n")
    outcome = measure(job([variant("float32"), variant("int8")], processes=1, blocks=3))
    for event in outcome.results:
        with np.load(event.samples_path) as samples:
            assert {*zip(samples["process"].tolist(), samples["block"].tolist(), strict=True)} == {
                (0, 0), (0, 1), (0, 2)
            }  # fmt: skip
        assert event.result.peak_rss_bytes


def test_fast_models_are_timed_in_batches(
    job: Any, measure: Any, variant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgemeter_agent.engine import sizing

    monkeypatch.setattr(sizing, "OVERHEAD_FACTOR", 2000)
    result = measure(job([variant("int8")], processes=1, block_min_duration_ns=0)).results[0].result
    assert result.latency.batch_queries > 1
    assert result.latency.samples == 2 * 30


def test_an_emulated_board_is_never_valid(
    job: Any, measure: Any, variant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEMETER_EMULATED", "1")
    outcome = measure(job([variant("int8")], processes=1))
    assert outcome.state(0) == VOID
    assert "EDGEMETER_EMULATED=1" in outcome.reasons(0)["emulated"]
    assert outcome.results[0].result.latency.samples


def test_the_governor_is_set_while_measuring_and_put_back(
    job: Any, measure: Any, variant: Any, still_board: BoardRoot
) -> None:
    policy = still_board.path("sys/devices/system/cpu/cpufreq/policy0")
    policy.mkdir(parents=True)
    (policy / "scaling_governor").write_text("ondemand\n")
    (policy / "scaling_cur_freq").write_text("1500000\n")
    result = measure(job([variant("int8")], processes=1)).results[0].result
    assert result.conditions.governor == "performance"
    assert result.conditions.frequency_max_hz == 1_500_000_000
    assert (policy / "scaling_governor").read_text().strip() == "ondemand"
    assert not still_board.path(governor.GUARD).exists()


def test_a_voided_block_is_repeated_and_its_samples_are_kept_apart(
    job: Any, measure: Any, variant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = iter([["frequency_changed", "throttled"], [], []])
    monkeypatch.setattr(latency_phase, "judge_block", lambda _before, _after, _machine: next(verdicts))
    outcome = measure(job([variant("int8")], processes=1))
    result = outcome.results[0].result
    assert dict(result.conditions.void_reasons) == {"frequency_changed": 1, "throttled": 1}
    assert (result.conditions.blocks_kept, result.conditions.blocks_voided) == (2, 1)
    with np.load(outcome.results[0].samples_path) as samples:
        kept = {int(block): bool(samples["kept"][samples["block"] == block].all()) for block in range(3)}
        taken = samples["latency_ns"][samples["kept"]]
    assert kept == {0: False, 1: True, 2: True}
    assert result.latency.samples == taken.size
    assert result.latency.p50_ns == np.percentile(taken, 50, method="inverted_cdf")
    assert outcome.state(0) != VOID


@pytest.fixture
def hogs() -> Iterator[None]:
    """Two busy processes for each processor."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(2 * (os.cpu_count() or 1))]
    yield
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("hogs")
def test_processes_that_take_all_processors_are_named_contention(
    job: Any, measure: Any, variant: Any
) -> None:
    asked = job(
        [variant("int8")], processes=1, blocks=2, max_voided_blocks=1, block_min_duration_ns=300_000_000
    )
    outcome = measure(asked, board=BoardRoot())
    result = outcome.results[0].result
    assert outcome.state(0) == VOID
    assert "0 of 2 blocks could be kept" in outcome.reasons(0)["contention"]
    # two planned, one repeated, and then no more
    assert result.conditions.blocks_voided == 3
    assert result.conditions.void_reasons["contention"] == 3
    # void numbers are shown as such
    assert result.latency.samples


def test_a_job_that_cannot_be_done_says_why(job: Any, measure: Any, variant: Any, tmp_path: Path) -> None:
    assert "no variants" in measure(job([])).events[-1].failure.detail
    asked = job([variant("int8")])
    (tmp_path / "file").write_text("")
    asked.work_dir = str(tmp_path / "file" / "work")
    assert "Not a directory" in measure(asked).events[-1].failure.detail


def test_the_deadline_ends_the_job(job: Any, measure: Any, variant: Any) -> None:
    asked = job([variant("int8")], deadline_ns=2_000_000_000, block_min_duration_ns=60_000_000_000)
    outcome = measure(asked)
    assert outcome.events[-1].failure.detail == "the job ran longer than its deadline of 2 s"
    assert not outcome.results


def test_free_dimensions_take_the_samples_shape(models: Any, images: Any) -> None:
    model = loader(kind("litert"))(models.path("float32"), LoadOptions())
    assert list(model.signature.inputs[0].shape) == [-1, 28, 28, 1]
    model.prepare([images[:5]])
    model.query()
    together = model.outputs()[0]
    np.testing.assert_allclose(together, directly(models.path("float32"), images[:5]), atol=1e-6)


def test_signature_of_a_quantized_model(models: Any) -> None:
    signature: variant_pb2.Signature = loader(kind("litert"))(models.path("int8"), LoadOptions()).signature
    assert signature.inputs[0].dtype == "int8"
    assert signature.inputs[0].quantization.scale > 0
    assert signature.outputs[0].quantization.scale > 0
