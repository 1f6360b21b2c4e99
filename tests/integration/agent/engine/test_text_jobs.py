"""Jobs over models that write text, with real processes and llama.cpp."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgemeter_agent.engine import arrays
from edgemeter_protos.v1 import engine_pb2, result_pb2, variant_pb2
from tests import tiny_llama

Weights = dict[str, npt.NDArray[np.float32]]
Maker = Callable[..., engine_pb2.EngineVariant]

GENERATION = variant_pb2.Generation(prompt_ids=range(32, 96), new_tokens=24)

STEADY_METER = """
import itertools, time
for number in itertools.count():
    print(time.monotonic_ns(), 2.999 + 0.001 * (number % 3), flush=True)
    time.sleep(0.01)
"""


@pytest.fixture
def text_variant(gguf: Path, weights: Weights, windows: npt.NDArray[np.int32], tmp_path: Path) -> Maker:
    """Its golden outputs are the network's own, in numpy, shifted by `golden_shift`."""

    def make(variant_id: str = "base", golden_shift: float = 0.0) -> engine_pb2.EngineVariant:
        golden = tmp_path / f"golden-{golden_shift}.npz"
        nll = np.stack([tiny_llama.nll(weights, window.tolist()) for window in windows]) + golden_shift
        np.savez(golden, input_0=windows, output_0=nll.astype(np.float32))
        return engine_pb2.EngineVariant(
            variant_id=variant_id,
            label=f"{variant_id}@gguf",
            format="gguf",
            artifact_path=str(gguf),
            golden_path=str(golden),
            golden=variant_pb2.GoldenPair(absolute_tolerance=0.05),
            runtimes=[variant_pb2.RuntimeRequirement(runtime="llama.cpp")],
            generation=GENERATION,
            sample_noun="token",
        )

    return make


def test_speed_quality_and_energy_of_one_variant(
    job: Any,
    measure: Any,
    text_variant: Maker,
    weights: Weights,
    windows: npt.NDArray[np.int32],
    tmp_path: Path,
) -> None:
    evaluation = tmp_path / "evaluation.npz"
    np.savez(evaluation, input_0=windows)
    meter = tmp_path / "meter.py"
    meter.write_text(STEADY_METER)
    asked = job(
        [text_variant("base"), text_variant("again")],
        str(evaluation),
        profiled_queries=3,
        energy_windows=1,
        energy_window_min_duration_ns=300_000_000,
        idle_duration_ns=300_000_000,
        sustain_duration_ns=600_000_000,
        cold_starts=1,
    )
    asked.meters.append(f"exec:{shlex.join([sys.executable, str(meter)])}")
    outcome = measure(asked)
    assert outcome.done, outcome.events[-1]
    for number, event in enumerate(outcome.results):
        result = event.result
        assert result.latency.samples == result.text_speed.generations >= 3 * 2 * 2
        speed = result.text_speed
        assert (speed.prompt_tokens, speed.new_tokens) == (64, 24)
        with np.load(event.samples_path) as archive:
            samples = dict(archive)
        assert samples["first_token_ns"].shape == samples["latency_ns"].shape
        assert (samples["first_token_ns"] < samples["latency_ns"]).all()
        kept = samples["kept"]
        assert speed.ttft_p50.value_ns in samples["first_token_ns"][kept]
        rest = np.sort((samples["latency_ns"] - samples["first_token_ns"])[kept])
        assert speed.decode_tokens_per_s == pytest.approx(23e9 / rest[(len(rest) - 1) // 2])
        assert speed.decode_ci95_low <= speed.decode_tokens_per_s <= speed.decode_ci95_high
        assert speed.prefill_tokens_per_s == pytest.approx(64e9 / speed.ttft_p50.value_ns)
        # What was asked for 30 times is asked for as often as tokens make up for.
        assert (result.plan.block_min_queries, result.plan.warmup_min_queries) == (3, 1)
        assert result.cold.processes == 3
        assert 0 < result.memory.model_bytes < result.peak_rss_bytes
        assert result.runtime.name == "llama.cpp"
        assert result.runtime.ran_on.startswith("CPU (")
        assert result.operators.unavailable == "llama.cpp's functions do not time its operators"
        # A steady 3 W: each token's energy is its time's.
        energy = result.energy
        assert energy.status == result_pb2.ENERGY_STATUS_MEASURED, energy.detail
        assert energy.sample_noun == "token"
        per_token_s = energy.windows_duration_ns / energy.inferences / 1e9
        assert energy.gross_uj_per_inference == pytest.approx(3e6 * per_token_s, rel=1e-3)
        assert result.sustained.points
        # Of tokens: a generation takes two dozen of them.
        assert 0 < result.sustained.first_p50_ns < result.latency.p50_ns
        (nll,) = arrays.read_numbered(event.outputs_path, "output")
        assert result.evaluated_samples == 2
        for row, window in zip(nll, windows, strict=True):
            np.testing.assert_allclose(row, tiny_llama.nll(weights, window.tolist()), atol=0.02)
        assert result.HasField("comparison") == (number == 1)
    assert outcome.results[1].result.comparison.pairs == 4


def test_a_golden_mismatch_is_found_before_anything_is_timed(
    job: Any, measure: Any, text_variant: Maker
) -> None:
    outcome = measure(job([text_variant("wrong", golden_shift=1.0), text_variant("right")]))
    assert outcome.done
    assert outcome.state(0) == result_pb2.VERDICT_STATE_VOID
    assert "golden_mismatch" in outcome.reasons(0)
    wrong, right = (each.result for each in outcome.results)
    assert not wrong.HasField("latency")
    assert not wrong.HasField("text_speed")
    assert right.HasField("text_speed")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"scenario": "offline", "batch_size": 4}, "use single-stream, not offline"),
        ({"scenario": "server", "target_qps": 1.0}, "use single-stream, not server"),
        ({"batch_size": 2}, "use batch_size 1, not 2"),
    ],
)
def test_texts_are_not_measured_in_batches(
    job: Any, measure: Any, text_variant: Maker, overrides: dict[str, Any], said: str
) -> None:
    outcome = measure(job([text_variant()], **overrides))
    assert len(outcome.events) == 1
    assert outcome.events[0].failure.detail.endswith(said)


def test_without_a_generation_windows_are_timed(job: Any, measure: Any, text_variant: Maker) -> None:
    variant = text_variant()
    variant.ClearField("generation")
    outcome = measure(job([variant], blocks=1, processes=1))
    result = outcome.results[0].result
    assert not result.HasField("text_speed")
    assert result.latency.samples >= 30
    with np.load(outcome.results[0].samples_path) as archive:
        assert "first_token_ns" not in archive


def test_a_runtime_that_writes_no_text_is_none(job: Any, measure: Any, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"no matter")
    variant = engine_pb2.EngineVariant(
        variant_id="v", format="onnx", artifact_path=str(model), generation=GENERATION
    )
    outcome = measure(job([variant]))
    assert outcome.reasons(0)["no_runtime"] == "onnxruntime does not write text, and this variant is to"


def test_a_text_that_the_model_can_not_write_fails_the_variant(
    job: Any, measure: Any, text_variant: Maker
) -> None:
    variant = text_variant()
    variant.generation.prompt_ids.append(999)
    outcome = measure(job([variant]))
    assert outcome.reasons(0)["load_failed"].startswith("there is a token 999, and the model has 257")


def test_bench_without_a_coordinator(gguf: Path, tmp_path: Path) -> None:
    command = str(Path(sys.executable).parent / "edgemeter-agent")
    options = ["--blocks", "2", "--min-duration", "0.02", "--new-tokens", "8", "--prompt-tokens", "16"]
    done = subprocess.run(
        [command, "bench", str(gguf), *options, "--json", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (document,) = json.loads(done.stdout)
    speed = document["text_speed"]
    assert (speed["prompt_tokens"], speed["new_tokens"]) == (16, 8)
    assert speed["generations"] == document["latency"]["n"] >= 6
    assert speed["decode_ci95"][0] <= speed["decode_tokens_per_s"] <= speed["decode_ci95"][1]
    assert 0 < speed["ttft_p50_ns"] < document["latency"]["p50_ns"]
    details = subprocess.run(
        [command, "bench", str(gguf), *options, "--details", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
    ).stdout
    header = details.splitlines()[0]
    assert "first token  tokens/s" in header
    assert "time to first token" in details
    assert "first generation" in details


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scenario", "offline", "--batch", "4"], "use single-stream, not offline"),
        (["--scenario", "server", "--target-qps", "2"], "use single-stream, not server"),
    ],
)
def test_bench_refuses_batches_in_a_line(gguf: Path, options: list[str], said: str, tmp_path: Path) -> None:
    command = str(Path(sys.executable).parent / "edgemeter-agent")
    done = subprocess.run(
        [command, "bench", str(gguf), *options, "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"edgemeter-agent: a model that writes text takes one prompt after another: {said}\n"
    )
