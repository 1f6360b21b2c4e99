"""What disturbs a real run, each named in its verdict. The boards are trees that a test changes while a real
model is measured; where processor time matters, the board is this machine."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine import sizing
from edgemeter_agent.engine.job import run_job
from edgemeter_protos import plans
from edgemeter_protos.v1 import engine_pb2, result_pb2

VALID, DEGRADED, VOID = (
    result_pb2.VERDICT_STATE_VALID,
    result_pb2.VERDICT_STATE_DEGRADED,
    result_pb2.VERDICT_STATE_VOID,
)
BITS = "sys/devices/platform/soc/soc:firmware/get_throttled"
ZONE = "sys/class/thermal/thermal_zone0"
POLICY = "sys/devices/system/cpu/cpufreq/policy0"
BLOCKS = 4

Action = Callable[[], None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer of 64 x 64: some microseconds."""
    weights = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [weights],
    )
    path = tmp_path_factory.mktemp("model") / "layer.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def board(tmp_path: Path) -> BoardRoot:
    """A cool board at a steady clock, on which nobody ever waits."""
    board = BoardRoot(tmp_path / "board")
    files = {
        "proc/self/task/1/schedstat": "0 0 0\n",
        BITS: "0\n",
        f"{ZONE}/type": "cpu-thermal\n",
        f"{ZONE}/temp": "45000\n",
        f"{POLICY}/scaling_cur_freq": "1500000\n",
        f"{POLICY}/scaling_governor": "ondemand\n",
    }
    for path, content in files.items():
        board.path(path).parent.mkdir(parents=True, exist_ok=True)
        board.path(path).write_text(content)
    return board


class Run:
    """One variant measured in `BLOCKS` short blocks, none of them repeated."""

    def __init__(self, model: Path, work_dir: Path) -> None:
        self._model, self._work_dir = model, work_dir

    def __call__(
        self,
        board: BoardRoot,
        at_block: int = 0,
        action: Action = lambda: None,
        affinity_cpus: Sequence[int] = (),
        block_ms: int = 40,
    ) -> result_pb2.Result:
        """`action` is called when block `at_block`, from 1, is about to be taken."""
        plan = plans.resolve(
            "quick",
            blocks=BLOCKS,
            block_min_queries=20,
            block_min_duration_ns=block_ms * 1_000_000,
            warmup_min_duration_ns=5_000_000,
            settle_timeout_ns=0,
            max_voided_blocks=0,
        )
        plan.affinity_cpus.extend(affinity_cpus)
        plan.cold_starts = plan.profiled_queries = plan.energy_windows = 0
        job = engine_pb2.EngineJob(
            plan=plan,
            variants=[
                engine_pb2.EngineVariant(
                    variant_id="layer", label="layer@onnx", format="onnx", artifact_path=str(self._model)
                )
            ],
            work_dir=str(self._work_dir),
        )
        blocks, results = 0, []

        def emit(event: engine_pb2.EngineEvent) -> None:
            nonlocal blocks
            if event.HasField("result"):
                results.append(event.result.result)
            if ": block " in event.progress.phase:
                blocks += 1
                if blocks == at_block:
                    action()

        run_job(job, emit, board)
        assert len(results) == 1
        return results[0]


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Run:
    return Run(model, tmp_path / "work")


def reasons(result: result_pb2.Result) -> dict[str, str]:
    return {reason.code: reason.detail for reason in result.verdict.reasons}


def put(board: BoardRoot, path: str, content: str) -> None:
    """In one step: a sensor is never empty."""
    scratch = board.path(path).with_name("scratch")
    scratch.write_text(content)
    scratch.replace(board.path(path))


@contextlib.contextmanager
def hogs(count: int, cpus: Sequence[int]) -> Iterator[None]:
    """Processes that compute without end, on these processors only."""
    spin = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(spin) for _ in range(count)]
    for process in processes:
        os.sched_setaffinity(process.pid, cpus)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def variant_process() -> psutil.Process:
    """The one that is being measured."""
    children = psutil.Process().children()
    (found,) = [child for child in children if "edgemeter_agent.engine.child" in child.cmdline()]
    return found


def test_nothing_disturbs(run: Run, board: BoardRoot) -> None:
    result = run(board)
    assert result.conditions.blocks_kept == BLOCKS
    assert result.conditions.governor == "performance"
    # the interval is this machine's affair
    assert reasons(result).keys() <= {"wide_interval", "few_samples_p99"}
    assert list(result.conditions.changes) == []


def test_a_processor_hog_on_the_processor_that_the_variant_is_held_on(run: Run) -> None:
    cpu = min(os.sched_getaffinity(0))
    with hogs(2, [cpu]):
        result = run(BoardRoot(), affinity_cpus=[cpu], block_ms=200)
    assert result.verdict.state == VOID
    assert "0 of 4 blocks could be kept, the numbers are of voided ones" in reasons(result)["contention"]
    assert "the variant waited" in reasons(result)["contention"]
    assert list(result.conditions.cpus) == [cpu]
    # What was seen is there, though nothing was kept.
    assert result.latency.samples
    assert result.conditions.run_delay_share > 0.05


def test_a_process_that_is_stopped_now_and_then(run: Run) -> None:
    over = threading.Event()

    def stop_and_go(process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not over.is_set():
                process.suspend()
                time.sleep(0.05)
                process.resume()
                time.sleep(0.05)

    meddlers: list[threading.Thread] = []

    def meddle() -> None:
        meddlers.append(threading.Thread(target=stop_and_go, args=(variant_process(),)))
        meddlers[0].start()

    try:
        result = run(BoardRoot(), 2, meddle, block_ms=300)
    finally:
        over.set()
        for meddler in meddlers:
            meddler.join()
    assert result.verdict.state == VOID
    assert result.conditions.void_reasons["stalled"] >= 3
    assert "neither ran nor waited for a processor" in reasons(result)["stalled"]


def test_a_process_that_is_stopped_for_good(
    run: Run, board: BoardRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizing, "HUNG_AFTER_S", 2)
    result = run(board, 3, lambda: variant_process().send_signal(signal.SIGSTOP))
    assert result.verdict.state == VOID
    assert "did not answer" in reasons(result)["hung"]
    # The two blocks before it are shown, and void.
    assert result.conditions.blocks_kept == 2
    assert result.latency.samples


@pytest.mark.parametrize(
    ("at_block", "state"),
    [
        pytest.param(2, VOID, id="one block before it"),
        pytest.param(4, DEGRADED, id="three blocks before it"),
    ],
)
def test_a_throttle_bit_in_the_middle(run: Run, board: BoardRoot, at_block: int, state: int) -> None:
    result = run(board, at_block, lambda: put(board, BITS, "40004\n"))
    assert result.verdict.state == state
    kept = at_block - 1
    assert result.conditions.blocks_kept == kept
    assert f"{kept} of 4 blocks could be kept" in reasons(result)["throttled"]
    assert "get_throttled 0x40004" in reasons(result)["throttled"]
    assert "get_throttled 0x0, then 0x40004" in result.conditions.changes


def test_a_weak_supply_in_the_middle(run: Run, board: BoardRoot) -> None:
    result = run(board, 3, lambda: put(board, BITS, "50005\n"))
    assert result.verdict.state == DEGRADED
    assert {"under_voltage", "throttled"} <= reasons(result).keys()


def test_a_temperature_ramp(run: Run, board: BoardRoot) -> None:
    over = threading.Event()

    def heat() -> None:
        temperature = 45_000
        while not over.is_set() and temperature < 79_000:
            temperature += 1000
            put(board, f"{ZONE}/temp", f"{temperature}\n")
            time.sleep(0.01)

    heater = threading.Thread(target=heat)
    try:
        result = run(board, 2, heater.start, block_ms=300)
    finally:
        over.set()
        heater.join()
    assert result.verdict.state == DEGRADED
    assert reasons(result)["temperature_ramp"].startswith("cpu-thermal rose by ")
    assert result.conditions.temperature_max_millicelsius > 55_000
    assert any(change.startswith("temperature 45.0 °C, then ") for change in result.conditions.changes)


@pytest.mark.parametrize(
    ("clock_khz", "degrades"),
    [
        pytest.param("1500000\n", False, id="the clock stays: a note"),
        pytest.param("2400000\n", True, id="the clock moves"),
    ],
)
def test_a_governor_that_cannot_be_set(run: Run, board: BoardRoot, clock_khz: str, degrades: bool) -> None:
    board.path(f"{POLICY}/scaling_available_governors").write_text("ondemand powersave\n")
    result = run(board, 3, lambda: put(board, f"{POLICY}/scaling_cur_freq", clock_khz))
    detail = reasons(result)["governor_not_set"]
    assert "offers ondemand powersave" in detail
    assert ("the clock was between 1.50 and 2.40 GHz" in detail) is degrades
    assert not degrades or result.verdict.state == DEGRADED
    assert result.conditions.governor == "ondemand"
    assert result.conditions.blocks_kept == BLOCKS


def test_a_wall_clock_that_is_set_meanwhile(
    run: Run, board: BoardRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by NTP. Setting this machine's clock would be felt by all that runs on it: the measured process
    alone sees it an hour later from the moment on that a file is there."""
    stepped = tmp_path / "stepped"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, time\n"
        "true_ns = time.time_ns\n"
        f"time.time_ns = lambda: true_ns() + 3_600_000_000_000 * os.path.exists({str(stepped)!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    result = run(board, 3, stepped.touch)
    assert "3600" in reasons(result)["clock_stepped"]
    # Nothing is measured by it: a note, that leaves the verdict as it is.
    assert result.conditions.blocks_kept == BLOCKS
    assert result.verdict.state != VOID


def test_somebody_sets_the_governor_meanwhile(run: Run, board: BoardRoot) -> None:
    result = run(board, 3, lambda: put(board, f"{POLICY}/scaling_governor", "powersave\n"))
    assert result.verdict.state == DEGRADED
    assert reasons(result)["governor_changed"] == "governor performance, then powersave"
    assert "governor performance, then powersave" in result.conditions.changes
    # What it was before the run is put back all the same.
    assert board.text(f"{POLICY}/scaling_governor") == "ondemand"
