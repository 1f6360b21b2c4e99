"""Variant processes that neither answer nor end."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine import latency_phase
from edgemeter_agent.engine.variant_process import DeadlineError, VariantError, VariantProcess
from edgemeter_protos.v1 import engine_pb2

MINUTE_NS = 60_000_000_000


def in_a_minute() -> int:
    return time.monotonic_ns() + MINUTE_NS


def loaded(process: VariantProcess) -> VariantProcess:
    process.load(engine_pb2.ChildLoad(runtime="null", threads=1))
    process.golden(engine_pb2.ChildGolden())
    return process


def test_a_stopped_process_is_hung_long_before_the_deadline(still_board: BoardRoot) -> None:
    with VariantProcess(still_board, in_a_minute()) as process:
        loaded(process)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(VariantError) as hung:
            process.block(engine_pb2.ChildBlock(min_queries=1), patience_s=0.3)
    assert hung.value.code == "hung"
    assert not Path(f"/proc/{process.pid}").exists()


def test_an_answer_in_time_leaves_the_process_alone(still_board: BoardRoot) -> None:
    with VariantProcess(still_board, in_a_minute()) as process:
        loaded(process)
        for _ in range(3):
            process.block(engine_pb2.ChildBlock(min_queries=1), patience_s=30)
        assert process.exit() > 0


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("", id="nothing"),
        # Its length announces 100 bytes, and one comes.
        pytest.param(r"\144\012", id="half-an-answer"),
    ],
)
def test_the_deadline_ends_any_wait(
    still_board: BoardRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    mute = tmp_path / "mute"
    mute.write_text(f"#!/bin/sh\nprintf '{said}'\nexec sleep 60\n")
    mute.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(mute))
    with (
        VariantProcess(still_board, time.monotonic_ns() + 300_000_000) as process,
        pytest.raises(DeadlineError),
    ):
        process.load(engine_pb2.ChildLoad(runtime="null", threads=1))
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_variant_that_hangs_is_void_and_the_others_are_measured(
    job: Any, measure: Any, variant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_phase, "patience_s", lambda _request, _latency_ns: 2.0)
    original = VariantProcess.load

    def load(process: VariantProcess, request: engine_pb2.ChildLoad) -> Any:
        answer = original(process, request)
        if Path(request.artifact_path).name == "float32.tflite":
            golden = process.golden

            def stop_after_golden(asked: engine_pb2.ChildGolden) -> Any:
                checked = golden(asked)
                os.kill(process.pid, signal.SIGSTOP)
                return checked

            monkeypatch.setattr(process, "golden", stop_after_golden)
        return answer

    monkeypatch.setattr(VariantProcess, "load", load)
    outcome = measure(job([variant("float32"), variant("int8")], processes=1))
    assert outcome.done
    assert "2 s" in outcome.reasons(0)["hung"]
    assert outcome.results[1].result.conditions.blocks_kept == 2
