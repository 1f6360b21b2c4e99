from __future__ import annotations

from typing import Any

import pytest

from edgemeter_agent.runtimes.operators.onnx import node_spans
from edgemeter_agent.runtimes.operators.tally import calls_of


def run(at: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": at, "dur": 100, "args": {}}


def node(name: str, kind: str, at: int, took: int, provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "ts": at,
        "dur": took,
        "args": {"op_name": kind, "provider": provider, "node_index": "0"},
    }


EVENTS = [
    {"cat": "Session", "name": "model_loading_uri", "ts": 1, "dur": 400, "args": {}},
    {"cat": "Session", "name": "session_initialization", "ts": 401, "dur": 900, "args": {}},
    # the first run, left out; a run's event is written when it is over, after its nodes'
    node("conv", "Conv", 2010, 90),
    run(2000),
    node("conv", "Conv", 3010, 20),
    {"cat": "Node", "name": "conv_fence_before", "ts": 3010, "dur": 0, "args": {"op_name": "Conv"}},
    node("loop", "Loop", 3030, 50),
    node("body", "Add", 3035, 10),
    node("body", "Add", 3050, 10),
    run(3000),
    node("conv", "Conv", 4010, 22),
    node("loop", "Loop", 4032, 50),
    node("body", "Add", 4040, 10, "CUDAExecutionProvider"),
    run(4000),
]


def test_the_last_runs_kernels() -> None:
    calls = calls_of(node_spans(EVENTS, 2))
    assert [(call.name, call.kind, call.ns, call.ran_on) for call in calls] == [
        ("conv", "Conv", 20_000, "CPUExecutionProvider"),
        ("loop", "Loop", 30_000, "CPUExecutionProvider"),
        ("body", "Add", 10_000, "CPUExecutionProvider"),
        ("body", "Add", 10_000, "CPUExecutionProvider"),
        ("conv", "Conv", 22_000, "CPUExecutionProvider"),
        ("loop", "Loop", 40_000, "CPUExecutionProvider"),
        ("body", "Add", 10_000, "CUDAExecutionProvider"),
    ]


def test_a_trace_that_stopped_early_is_not_divided_by_all_queries() -> None:
    with pytest.raises(ValueError, match="it holds 3 of 4 runs"):
        node_spans(EVENTS, 4)
