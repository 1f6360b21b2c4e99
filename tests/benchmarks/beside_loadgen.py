"""The same .tflite of three sizes (MobileNetV2 of 96, 160 and 224, one thread) in our timed loop, in a bare
perf_counter_ns loop, and under MLPerf LoadGen's SingleStream with a system under test in Python that answers
inline. All three take turns in one process over one interpreter. LoadGen's latency contains its own way into
Python and back; its log gives percentiles of all that it issued."""

from __future__ import annotations

import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy as np

from edgemeter_agent import runtimes
from edgemeter_agent.engine.loop import no_garbage_collection, timed_queries
from tests.benchmarks import mobilenet
from tests.benchmarks.figures import Figure, median_ratio
from tests.benchmarks.overhead import bare_loop

SIDES = (96, 160, 224)
TURNS = 30
TURN_NS = 400_000_000
_P50 = re.compile(r"50\.00 percentile latency \(ns\)\s*: (\d+)")


def measure() -> list[Figure]:
    figures = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            artifact = mobilenet.write(side, Path(folder, "mobilenet.tflite"))
            load = runtimes.loader(runtimes.kind("litert"))
            model = load(str(artifact), runtimes.LoadOptions())
            model.prepare([np.random.default_rng(1).random((1, side, side, 3), np.float32)])
            with no_garbage_collection():
                figures += _beside(model.query, side, Path(folder))
    return figures


def _beside(query: Callable[[], None], side: int, folder: Path) -> list[Figure]:
    queries = len(timed_queries(query, 10, TURN_NS))
    seen: dict[str, list[float]] = {"ours": [], "bare": [], "LoadGen": []}
    kinds: dict[str, Callable[[], float]] = {
        "ours": lambda: statistics.median(timed_queries(query, queries, 0)),
        "bare": lambda: statistics.median(bare_loop(query, queries)),
        "LoadGen": lambda: _loadgen_p50_ns(query, queries, folder),
    }
    for turn in range(TURNS):
        # Each is first, in the middle and last equally often.
        order = list(kinds)[turn % 3 :] + list(kinds)[: turn % 3]
        for kind in order:
            seen[kind].append(kinds[kind]())
    return [_figure(f"p50 of MobileNetV2 {side}", seen, peer) for peer in ("bare", "LoadGen")]


def _figure(what: str, seen: dict[str, list[float]], peer: str) -> Figure:
    ratio = median_ratio(seen["ours"], seen[peer])
    added_us = statistics.median(a - b for a, b in zip(seen["ours"], seen[peer], strict=True)) / 1000
    return Figure(
        what=what,
        unit="µs",
        ours=statistics.median(seen["ours"]) / 1000,
        peer_name=f"{peer} loop" if peer == "bare" else peer,
        peer=statistics.median(seen[peer]) / 1000,
        ratio=ratio,
        target="within 2 %",
        met=abs(ratio - 1) <= 0.02,
        note=f"against {peer}, the median of the paired differences is {added_us:+.2f} µs.",
    )


def _loadgen_p50_ns(query: Callable[[], None], queries: int, folder: Path) -> float:
    """A SingleStream performance run of `queries` queries."""
    settings = loadgen.TestSettings()
    settings.scenario = loadgen.TestScenario.SingleStream
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = queries
    settings.min_duration_ms = 0

    def issue(samples: list[loadgen.QuerySample]) -> None:
        query()
        loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(samples[0].id, 0, 0)])

    def nothing(*_: object) -> None:
        return

    sut = loadgen.ConstructSUT(issue, nothing)
    samples = loadgen.ConstructQSL(1, 1, nothing, nothing)
    output = loadgen.LogOutputSettings()
    output.outdir = str(folder)
    output.copy_summary_to_stdout = False
    log = loadgen.LogSettings()
    log.log_output = output
    log.enable_trace = False
    loadgen.StartTestWithLogSettings(sut, samples, settings, log)
    loadgen.DestroyQSL(samples)
    loadgen.DestroySUT(sut)
    found = _P50.search((folder / "mlperf_log_summary.txt").read_text())
    if found is None:
        raise RuntimeError("LoadGen's summary has no 50th percentile")
    return float(found[1])
