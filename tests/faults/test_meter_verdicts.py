"""What goes wrong with a power meter in a real run, each named in its verdict. The meters are programs, and
files of a board; a real model runs in real processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.job import run_job
from edgemeter_protos import plans
from edgemeter_protos.v1 import engine_pb2, result_pb2
from tests.boards.pc import x86_rapl
from tests.faults.test_conditions import board, model

__all__ = ["board", "model"]

MEASURED, VOID = result_pb2.ENERGY_STATUS_MEASURED, result_pb2.ENERGY_STATUS_VOID

PROGRAM = """
import os, sys, time
began = time.monotonic()
index = 0
while True:
    index += 1
    time.sleep(0.004)
    at_ns, since_s = time.monotonic_ns(), time.monotonic() - began
    # Power follows how busy the machine is, a little.
    watts = 5 + index % 5 / 100 + os.getloadavg()[0] / 1000
    {spoil}
    print(at_ns, watts, flush=True)
"""

SPOILS = {
    "sound": "pass",
    "meter_gone": "if since_s > 1.5: sys.exit('unplugged')",
    "meter_rubbish": "if since_s > 1.5: print('hello', flush=True)",
    "meter_gap": "if since_s > 1.2 and index % 10 == 0: time.sleep(0.15)",
    "meter_impossible": "if since_s > 1: watts = 50_000",
    "meter_forbidden": "sys.exit('no access')",
}


def measured(
    model: Path,
    board: BoardRoot,
    tmp_path: Path,
    meters: list[str],
    meter: str = "",
    watch: Callable[[engine_pb2.EngineEvent], None] = lambda _: None,
) -> list[engine_pb2.EngineEvent]:
    plan = plans.resolve(
        "quick",
        blocks=1,
        min_queries=20,
        min_duration="20ms",
        warmup_min_duration="5ms",
        settle_timeout="0s",
        energy_windows=3,
        energy_window_min_duration="300ms",
        idle_duration="300ms",
        max_voided_blocks=1,
        meter=meter,
    )
    job = engine_pb2.EngineJob(
        plan=plan,
        variants=[engine_pb2.EngineVariant(variant_id="v", format="onnx", artifact_path=str(model))],
        work_dir=str(tmp_path / "work"),
        meters=meters,
    )
    events: list[engine_pb2.EngineEvent] = []

    def emit(event: engine_pb2.EngineEvent) -> None:
        events.append(event)
        watch(event)

    run_job(job, emit, board)
    return events


def result_of(events: list[engine_pb2.EngineEvent]) -> result_pb2.Result:
    (result,) = (event.result.result for event in events if event.HasField("result"))
    return result


@pytest.mark.parametrize("fault", SPOILS)
def test_a_program_that_goes_wrong(model: Path, board: BoardRoot, tmp_path: Path, fault: str) -> None:
    program = tmp_path / "watts.py"
    program.write_text(PROGRAM.format(spoil=SPOILS[fault]))
    result = result_of(measured(model, board, tmp_path, [f"exec:{sys.executable} {program}"]))
    energy, reasons = result.energy, {reason.code for reason in result.verdict.reasons}
    assert result.latency.samples >= 20
    assert result.verdict.state != result_pb2.VERDICT_STATE_VOID, "latency stands"
    if fault == "sound":
        assert energy.status == MEASURED
        assert energy.windows_kept == 3
        assert energy.mean_power_mw == pytest.approx(5020, rel=0.05)
    elif fault == "meter_forbidden":
        assert energy.status in (VOID, result_pb2.ENERGY_STATUS_NO_METER)
        assert "no access" in energy.detail
    else:
        assert energy.status == VOID
        # A gap that swallows most of a window leaves too few readings to speak of gaps.
        names = {fault, "meter_few_readings"} if fault == "meter_gap" else {fault}
        assert names & reasons
        assert names & set(energy.void_reasons)


def test_a_sensor_that_is_taken_away(model: Path, board: BoardRoot, tmp_path: Path) -> None:
    """Its driver goes with it: there is no file any more."""
    x86_rapl(board.root)
    (counter,) = board.path("sys/class/powercap").glob("intel-rapl:0/energy_uj")

    def take_away(event: engine_pb2.EngineEvent) -> None:
        if event.progress.phase.endswith("energy window 2 of 3"):
            counter.unlink(missing_ok=True)

    result = result_of(measured(model, board, tmp_path, [], watch=take_away))
    assert not counter.exists()
    assert result.energy.status == VOID
    assert "meter_gone" in dict(result.energy.void_reasons)
    assert "meter_gone" in {reason.code for reason in result.verdict.reasons}


def test_a_sensor_that_freezes(model: Path, board: BoardRoot, tmp_path: Path) -> None:
    """Its counter stands still, however busy the board is."""
    x86_rapl(board.root)
    energy = result_of(measured(model, board, tmp_path, [])).energy
    assert energy.status == VOID
    assert set(energy.void_reasons) == {"meter_stuck"}


def test_a_meter_that_is_asked_for_and_is_not_there_ends_the_job(
    model: Path, board: BoardRoot, tmp_path: Path
) -> None:
    events = measured(model, board, tmp_path, [], meter="ina3221")
    assert events[-1].failure.detail == "no meter ina3221 on this board; there is none"
