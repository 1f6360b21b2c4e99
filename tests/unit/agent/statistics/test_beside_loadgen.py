"""Our early-stopping estimates beside LoadGen's own, of the same latencies."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.statistics.early_stopping import early_stopping_estimate

RECORDED: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "loadgen_estimates.json").read_text()
)


def estimates(latencies_ns: list[int]) -> dict[str, float]:
    """As LoadGen's log has them: 0 for too few queries."""
    ordered = np.sort(np.array(latencies_ns, np.float64))
    return {
        "early_stopping_latency_ss": early_stopping_estimate(ordered, 90) or 0,
        "early_stopping_latency_ms": early_stopping_estimate(ordered, 99) or 0,
    }


@pytest.mark.parametrize("run", RECORDED["runs"], ids=lambda run: str(len(run["latencies_ns"])))
def test_the_same_as_a_recorded_loadgens(run: dict[str, Any]) -> None:
    assert estimates(run["latencies_ns"]) == run["estimates"]


@pytest.mark.parametrize("queries", [63, 64, 661, 662, 1500])
def test_the_same_as_loadgens_own(queries: int, tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    latencies, logged = run_loadgen(queries, tmp_path)
    assert len(latencies) == queries
    assert estimates(latencies) == logged


def run_loadgen(queries: int, folder: Path) -> tuple[list[int], dict[str, float]]:
    """A single-stream test over a system that is busy for about 100 µs a query: the latencies of LoadGen's
    trace, and its estimates of p90 and p99."""
    loadgen = pytest.importorskip("mlperf_loadgen")
    drawn = random.Random(queries)

    def issue(samples: Any) -> None:
        end_ns = time.perf_counter_ns() + int(drawn.lognormvariate(0, 0.4) * 100_000)
        while time.perf_counter_ns() < end_ns:
            pass
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(one.id, 0, 0) for one in samples])

    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.single_stream_expected_latency_ns = 100_000
    settings.min_duration_ms = 0
    settings.min_query_count = settings.max_query_count = queries
    log = loadgen.LogSettings()
    log.log_output.outdir = str(folder)
    log.enable_trace = True
    system = loadgen.ConstructSUT(issue, lambda: None)
    library = loadgen.ConstructQSL(64, 64, lambda _: None, lambda _: None)
    try:
        loadgen.StartTestWithLogSettings(system, library, settings, log)
    finally:
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
    detail = (folder / "mlperf_log_detail.txt").read_text()
    logged = {
        key: float(value)
        for key, value in re.findall(r'"key": "(early_stopping_latency_[sm]s)", "value": (\d+)', detail)
    }
    # Not all of the trace is JSON.
    trace = (folder / "mlperf_log_trace.json").read_text()
    latencies = [
        int(complete) - int(issued)
        for issued, complete in re.findall(r'"issue_start_ns":(\d+),"complete_ns":(\d+)', trace)
    ]
    return latencies, logged
