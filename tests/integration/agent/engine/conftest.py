"""Two small models made by TensorFlow, with golden pairs and evaluation data, and jobs over them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.job import run_job
from edgemeter_agent.runtimes import LoadOptions, kind, loader
from edgemeter_protos import plans
from edgemeter_protos.v1 import engine_pb2, plan_pb2, variant_pb2

# TensorFlow stays out of the test's own process: it would start its threads there.
MAKE_MODELS = """
import sys
import numpy as np
import tensorflow as tf


class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.kernel = tf.constant(tf.random.stateless_normal([3, 3, 1, 8], [1, 2]))
        self.weights = tf.constant(tf.random.stateless_normal([8 * 13 * 13, 10], [1, 3]) * 0.05)

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32)])
    def __call__(self, x):
        features = tf.nn.relu(tf.nn.conv2d(x, self.kernel, 2, "VALID"))
        return tf.nn.softmax(tf.matmul(tf.reshape(features, [-1, 8 * 13 * 13]), self.weights))


net = Net()
converter = tf.lite.TFLiteConverter.from_concrete_functions([net.__call__.get_concrete_function()], net)
open(sys.argv[1] + "/float32.tflite", "wb").write(converter.convert())
random = np.random.default_rng(0)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: (
    [random.random((1, 28, 28, 1), np.float32)] for _ in range(20)
)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
converter.inference_input_type = converter.inference_output_type = tf.int8
open(sys.argv[1] + "/int8.tflite", "wb").write(converter.convert())
"""

GOLDEN_SAMPLES = 3


@dataclass(frozen=True)
class Models:
    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.tflite")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    folder = tmp_path_factory.mktemp("models")
    done = subprocess.run(
        [sys.executable, "-c", MAKE_MODELS, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    return Models(folder)


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.uint8]:
    """Bytes as real values: a float32 input takes 0 to 255."""
    return np.random.default_rng(7).integers(0, 2, (20, 28, 28, 1), np.uint8)


@pytest.fixture
def still_board(tmp_path: Path) -> BoardRoot:
    """A board that shows no sensor but says that nobody ever waits for a processor: no condition voids a
    block, whatever runs beside the tests."""
    board = BoardRoot(tmp_path / "board")
    statistics = board.path("proc/self/task/1/schedstat")
    statistics.parent.mkdir(parents=True)
    statistics.write_text("0 0 0\n")
    return board


VariantMaker = Callable[..., engine_pb2.EngineVariant]


@pytest.fixture
def variant(models: Models, images: npt.NDArray[np.uint8], tmp_path: Path) -> VariantMaker:
    """A variant whose golden outputs are the runtime's own, shifted by `golden_shift`."""

    def make(name: str, golden_shift: float = 0.0) -> engine_pb2.EngineVariant:
        model = loader(kind("litert"))(models.path(name), LoadOptions())
        rows = []
        for number in range(GOLDEN_SAMPLES):
            model.prepare([images[number : number + 1]])
            model.query()
            rows.append(model.outputs()[0])
        golden_path = tmp_path / f"golden-{name}-{golden_shift}.npz"
        np.savez(golden_path, input_0=images[:GOLDEN_SAMPLES], output_0=np.concatenate(rows) + golden_shift)
        return engine_pb2.EngineVariant(
            variant_id=f"id-{name}",
            label=f"{name}@tflite",
            format="tflite",
            artifact_path=models.path(name),
            golden_path=str(golden_path),
            golden=variant_pb2.GoldenPair(absolute_tolerance=1e-5, relative_tolerance=1e-4),
            runtimes=[variant_pb2.RuntimeRequirement(runtime="litert", min_version="2.0")],
        )

    return make


@dataclass
class Outcome:
    events: list[engine_pb2.EngineEvent] = field(default_factory=list)

    @property
    def results(self) -> list[engine_pb2.EngineResult]:
        return [event.result for event in self.events if event.HasField("result")]

    def reasons(self, index: int) -> dict[str, str]:
        return {reason.code: reason.detail for reason in self.results[index].result.verdict.reasons}

    def state(self, index: int) -> int:
        return self.results[index].result.verdict.state

    @property
    def done(self) -> bool:
        return self.events[-1].HasField("done")


def small_plan(**overrides: plans.Value) -> plan_pb2.Plan:
    numbers: dict[str, plans.Value] = {
        "blocks": 2,
        "processes": 2,
        "block_min_queries": 30,
        "block_min_duration_ns": 20_000_000,
        "warmup_min_duration_ns": 5_000_000,
        "settle_timeout_ns": 0,
    }
    return plans.resolve("quick", **{**numbers, **overrides})


JobMaker = Callable[..., engine_pb2.EngineJob]


@pytest.fixture
def job(tmp_path: Path) -> JobMaker:
    def make(
        variants: list[engine_pb2.EngineVariant], evaluation_path: str = "", **overrides: plans.Value
    ) -> engine_pb2.EngineJob:
        return engine_pb2.EngineJob(
            plan=small_plan(**overrides),
            variants=variants,
            evaluation_path=evaluation_path,
            work_dir=str(tmp_path / "work"),
        )

    return make


@pytest.fixture
def measure(still_board: BoardRoot) -> Callable[..., Outcome]:
    """Runs a job in this process and collects its events; `watch` sees each as it comes."""

    def run(
        asked: engine_pb2.EngineJob,
        board: BoardRoot | None = None,
        watch: Callable[[engine_pb2.EngineEvent], None] = lambda _event: None,
    ) -> Outcome:
        outcome = Outcome()

        def emit(event: engine_pb2.EngineEvent) -> None:
            outcome.events.append(event)
            watch(event)

        run_job(asked, emit, board or still_board)
        return outcome

    return run
