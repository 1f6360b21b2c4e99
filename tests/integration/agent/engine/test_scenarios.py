"""All scenarios in the real child process, with real runtimes. Nothing of how fast anything was is
asserted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.scenarios.arrivals import arrival_times
from edgemeter_agent.engine.variant_process import VariantError, VariantProcess
from edgemeter_protos.v1 import engine_pb2, plan_pb2

MINUTE_NS = 60_000_000_000
SERVER = plan_pb2.SCENARIO_SERVER
WEIGHTS = np.random.default_rng(4).standard_normal((6, 5)).astype(np.float32)
SAMPLES = np.random.default_rng(5).standard_normal((11, 6)).astype(np.float32)


@dataclass(frozen=True)
class Model:
    runtime: str
    path: str
    golden_path: str
    inputs: np.ndarray


def dense(folder: Path, batch: int | str) -> Path:
    """relu(x W) for any number of samples, or for a fixed one."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("Relu", ["p"], ["y"])],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 5])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path = folder / f"dense-{batch}.onnx"
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def onnx_model(tmp_path: Path) -> Model:
    golden_path = tmp_path / "golden.npz"
    np.savez(golden_path, input_0=SAMPLES, output_0=np.maximum(SAMPLES @ WEIGHTS, 0))
    return Model("onnxruntime", str(dense(tmp_path, "n")), str(golden_path), SAMPLES)


@pytest.fixture
def tflite_model(variant: Callable[..., engine_pb2.EngineVariant], images: Any) -> Model:
    made = variant("float32")
    return Model("litert", made.artifact_path, made.golden_path, images.astype(np.float32))


@pytest.fixture(
    params=[
        pytest.param("onnx_model", id="onnxruntime"),
        pytest.param("tflite_model", id="litert", marks=pytest.mark.needs_tensorflow),
    ]
)
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def process(still_board: BoardRoot) -> Iterator[VariantProcess]:
    with VariantProcess(still_board, time.monotonic_ns() + MINUTE_NS) as started:
        yield started


def load(process: VariantProcess, model: Model, **asked: Any) -> engine_pb2.ChildLoaded:
    return process.load(
        engine_pb2.ChildLoad(runtime=model.runtime, artifact_path=model.path, threads=1, **asked)
    )


def ready(process: VariantProcess, model: Model, batch_size: int) -> None:
    load(process, model, batch_size=batch_size)
    checked = process.golden(
        engine_pb2.ChildGolden(path=model.golden_path, absolute_tolerance=1e-4, relative_tolerance=1e-4)
    )
    assert checked.matches, checked
    assert checked.first_inference_ns


def block(**numbers: Any) -> engine_pb2.ChildBlock:
    return engine_pb2.ChildBlock(warmup_min_queries=2, **numbers)


def test_single_stream(process: VariantProcess, model: Model) -> None:
    ready(process, model, 1)
    done = process.block(block(scenario=plan_pb2.SCENARIO_SINGLE_STREAM, min_queries=50, batch_queries=1))
    assert len(done.latency_ns) == done.samples == 50
    assert sum(done.latency_ns) <= done.duration_ns
    assert done.duration_ns <= done.after.monotonic_ns - done.before.monotonic_ns
    grouped = process.block(block(min_queries=20, batch_queries=5))
    assert (len(grouped.latency_ns), grouped.samples) == (20, 100)


def test_single_stream_in_batches(process: VariantProcess, model: Model) -> None:
    ready(process, model, 4)
    done = process.block(block(scenario=plan_pb2.SCENARIO_SINGLE_STREAM, min_queries=30))
    assert (len(done.latency_ns), done.samples) == (30, 120)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_multi_stream(process: VariantProcess, model: Model, batch_size: int) -> None:
    ready(process, model, batch_size)
    done = process.block(block(scenario=plan_pb2.SCENARIO_MULTI_STREAM, min_queries=20, samples_per_query=8))
    assert (len(done.latency_ns), done.samples) == (20, 160)
    assert sum(done.latency_ns) <= done.duration_ns


def test_offline(process: VariantProcess, model: Model) -> None:
    ready(process, model, 8)
    done = process.block(
        block(scenario=plan_pb2.SCENARIO_OFFLINE, min_queries=10, min_duration_ns=50_000_000)
    )
    assert done.samples == 8 * len(done.latency_ns) >= 80
    assert sum(done.latency_ns) <= done.duration_ns
    assert done.duration_ns >= 50_000_000


def test_server(process: VariantProcess, model: Model) -> None:
    ready(process, model, 1)
    asked = block(scenario=SERVER, min_queries=60, min_duration_ns=200_000_000, target_qps=200, seed=9)
    done = process.block(asked)
    arrivals = arrival_times(200, 9, 60, 200_000_000)
    assert len(done.latency_ns) == len(done.queueing_ns) == len(arrivals) >= 60
    assert done.samples + done.unserved_queries == len(arrivals)
    assert done.last_arrival_ns == arrivals[-1]
    latencies, queueing = np.array(done.latency_ns), np.array(done.queueing_ns)
    assert (queueing >= 0).all()
    served = slice(0, done.samples)
    assert (latencies[served] > queueing[served]).all()
    # What was served came one after another, each after its arrival.
    starts, ends = arrivals[served] + queueing[served], arrivals[served] + latencies[served]
    assert (starts[1:] >= ends[:-1]).all()
    assert done.duration_ns >= ends[-1]
    assert 1 <= done.most_in_flight <= len(arrivals)
    assert done.lateness_p50_ns <= done.lateness_max_ns <= queueing.max()


def test_a_server_does_not_import_what_would_be_counted_as_the_model(still_board: BoardRoot) -> None:
    """The peak is told for the process as a whole: numpy's generators alone take 6 MB."""
    peaks = []
    for asked in (block(min_queries=100), block(scenario=SERVER, min_queries=100, target_qps=1e5)):
        with VariantProcess(still_board, time.monotonic_ns() + MINUTE_NS) as process:
            process.load(engine_pb2.ChildLoad(runtime="null"))
            process.golden(engine_pb2.ChildGolden())
            process.block(asked)
            peaks.append(process.exit())
    assert peaks[1] - peaks[0] < 3_000_000


def test_a_server_that_cannot_keep_up_says_so(process: VariantProcess, onnx_model: Model) -> None:
    """A rate that no process reaches: the block ends, and what waited is counted."""
    ready(process, onnx_model, 1)
    done = process.block(block(scenario=SERVER, min_queries=1_500_000, target_qps=1e6))
    assert done.unserved_queries > 0
    assert len(done.latency_ns) == done.samples + done.unserved_queries == 1_500_000
    assert done.duration_ns >= 2 * done.last_arrival_ns
    assert done.most_in_flight >= done.unserved_queries
    assert min(done.latency_ns[-done.unserved_queries :]) >= done.duration_ns - done.last_arrival_ns


def test_a_window(process: VariantProcess, model: Model) -> None:
    ready(process, model, 4)
    before_ns = time.monotonic_ns()
    done = process.window(engine_pb2.ChildWindow(duration_ns=60_000_000, warmup_min_queries=3))
    after_ns = time.monotonic_ns()
    assert done.samples == 4 * done.queries > 0
    assert done.end_ns - done.begin_ns >= 60_000_000
    # One clock for all processes of a board: a meter's readings are laid over it.
    assert before_ns <= done.before.monotonic_ns <= done.begin_ns
    assert done.end_ns <= done.after.monotonic_ns <= after_ns


def test_a_sustained_window_in_points(process: VariantProcess, model: Model) -> None:
    ready(process, model, 1)
    done = process.window(engine_pb2.ChildWindow(duration_ns=100_000_000, point_interval_ns=20_000_000))
    assert 2 <= len(done.points) <= 6
    assert sum(point.queries for point in done.points) == done.queries == done.samples
    assert done.points[-1].at_ns == done.end_ns - done.begin_ns
    assert all(0 < point.p50_ns <= point.p99_ns for point in done.points)


def evaluated(process: VariantProcess, model: Model, folder: Path, batch_size: int, samples: int) -> Any:
    load(process, model, batch_size=batch_size)
    np.savez(folder / "in.npz", input_0=model.inputs)
    path = folder / f"out-{batch_size}.npz"
    done = process.evaluate(
        engine_pb2.ChildEvaluate(inputs_path=str(folder / "in.npz"), outputs_path=str(path), samples=samples)
    )
    assert done.samples == samples
    with np.load(path) as outputs:
        return outputs["output_0"]


def test_an_evaluation_in_batches_gives_what_one_by_one_does(
    still_board: BoardRoot, model: Model, tmp_path: Path
) -> None:
    """Up to the order in which a kernel for several rows adds up."""
    outputs = []
    for batch_size in (1, 4):
        with VariantProcess(still_board, time.monotonic_ns() + MINUTE_NS) as process:
            outputs.append(evaluated(process, model, tmp_path, batch_size, 10))
    assert outputs[0].shape == outputs[1].shape == (10, outputs[0].shape[1])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-5, atol=1e-6)


def test_a_model_of_a_fixed_batch_is_refused_in_one_line(process: VariantProcess, tmp_path: Path) -> None:
    fixed = Model("onnxruntime", str(dense(tmp_path, 1)), "", SAMPLES)
    with pytest.raises(VariantError) as caught:
        load(process, fixed, batch_size=4)
    assert caught.value.code == "load_failed"
    assert len(caught.value.detail.splitlines()) == 1


def test_a_pinned_process_and_all_its_threads_run_where_they_may(
    process: VariantProcess, onnx_model: Model
) -> None:
    """Threads inherit the processors: pinning has to come before the runtime starts any."""
    chosen = max(os.sched_getaffinity(0))
    asked = engine_pb2.ChildLoad(
        runtime="onnxruntime", artifact_path=onnx_model.path, threads=2, affinity_cpus=[chosen]
    )
    assert process.load(asked).cpus == [chosen]
    process.golden(engine_pb2.ChildGolden(path=onnx_model.golden_path, absolute_tolerance=1e-4))
    places = {
        line.split()[1]
        for task in Path(f"/proc/{process.pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
        if line.startswith("Cpus_allowed_list:")
    }
    assert places == {str(chosen)}


def test_without_affinity_the_processors_are_those_that_it_may_use(
    process: VariantProcess, onnx_model: Model
) -> None:
    loaded = load(process, onnx_model)
    assert set(loaded.cpus) == os.sched_getaffinity(0)
    assert loaded.runtime.ran_on
    assert loaded.arena_detail
    assert loaded.imported_peak_rss_bytes > 10_000_000


def test_a_processor_that_is_not_there_is_one_line(process: VariantProcess, onnx_model: Model) -> None:
    with pytest.raises(VariantError) as caught:
        load(process, onnx_model, affinity_cpus=[0, 1023])
    assert caught.value.code == "load_failed"
    assert caught.value.detail.startswith("affinity_cpus: processor 1023 is not to be had; this process may")


def test_operators_are_profiled_in_the_child(
    process: VariantProcess, onnx_model: Model, tmp_path: Path
) -> None:
    load(process, onnx_model, batch_size=2)
    profile = process.profile(
        engine_pb2.ChildProfile(
            golden_path=onnx_model.golden_path, queries=5, work_dir=str(tmp_path / "profile")
        )
    )
    assert profile.unavailable == ""
    assert profile.queries == 5
    assert profile.operators
    assert sum(operator.share for operator in profile.operators) == pytest.approx(1, abs=0.01)
    # The profiler had the memory to itself.
    with pytest.raises(VariantError, match="no model is loaded"):
        process.block(block(min_queries=1))


def test_a_profile_of_no_queries(process: VariantProcess, onnx_model: Model) -> None:
    load(process, onnx_model)
    with pytest.raises(VariantError, match="a profile needs at least one query") as caught:
        process.profile(engine_pb2.ChildProfile())
    assert caught.value.code == "profile_failed"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"scenario": plan_pb2.SCENARIO_SERVER}, "target_qps is 0"),
        ({"scenario": plan_pb2.SCENARIO_OFFLINE, "batch_queries": 3}, "only single-stream averages"),
        ({"scenario": 77}, "knows no scenario number 77"),
    ],
)
def test_blocks_that_cannot_be_are_one_line_and_the_process_lives_on(
    process: VariantProcess, onnx_model: Model, asked: dict[str, Any], says: str
) -> None:
    ready(process, onnx_model, 1)
    with pytest.raises(VariantError, match=says) as caught:
        process.block(block(min_queries=1, **asked))
    assert caught.value.code == "query_failed"
    assert process.block(block(min_queries=1)).samples == 1
