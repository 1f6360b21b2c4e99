"""What our timed loop adds to a query: over an empty runtime, and over a bare perf_counter_ns loop around the
same interpreter with a real model (MobileNetV2, 96 x 96, one thread). The loops take turns in one process."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgemeter_agent import runtimes
from edgemeter_agent.engine.loop import no_garbage_collection, timed_queries
from tests.benchmarks import mobilenet
from tests.benchmarks.figures import Figure, median_ratio

ROUNDS = 20
TURNS = 400
"""Short ones: the machine drifts by more within a second than a query's overhead."""
TURN_NS = 30_000_000
NULL_QUERIES = 100_000


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        artifact = mobilenet.write(96, Path(folder, "mobilenet.tflite"))
        model = runtimes.loader(runtimes.kind("litert"))(str(artifact), runtimes.LoadOptions())
    model.prepare([np.random.default_rng(1).random((1, 96, 96, 3), np.float32)])
    with no_garbage_collection():
        return [_over_nothing(), _over_a_bare_loop(model.query)]


def _over_nothing() -> Figure:
    query = runtimes.loader(runtimes.NULL)("", runtimes.LoadOptions()).query
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(_per_query_ns(lambda: timed_queries(query, NULL_QUERIES, 0)))
        bare.append(_per_query_ns(lambda: bare_loop(query, NULL_QUERIES)))
    ours_us, bare_us = statistics.median(ours) / 1000, statistics.median(bare) / 1000
    return Figure(
        what="a null query, storing included",
        unit="µs",
        ours=ours_us,
        peer_name="bare loop",
        peer=bare_us,
        ratio=median_ratio(ours, bare),
        target="<= 2 µs",
        met=ours_us <= 2,
    )


def _over_a_bare_loop(query: Callable[[], None]) -> Figure:
    timed_queries(query, 1, 10 * TURN_NS)
    queries = len(timed_queries(query, 1, TURN_NS))
    ours, bare = [], []
    for turn in range(TURNS):
        # Either goes first in half of the turns.
        for kind in ("ours", "bare") if turn % 2 else ("bare", "ours"):
            if kind == "ours":
                ours.append(statistics.median(timed_queries(query, queries, 0)))
            else:
                bare.append(statistics.median(bare_loop(query, queries)))
    added_us = statistics.median(a - b for a, b in zip(ours, bare, strict=True)) / 1000
    return Figure(
        what="p50 of MobileNetV2 96",
        unit="µs",
        ours=statistics.median(ours) / 1000,
        peer_name="bare loop",
        peer=statistics.median(bare) / 1000,
        ratio=median_ratio(ours, bare),
        target="at most 5 µs more",
        met=added_us <= 5,
        note=f"the median of the paired differences is {added_us:+.2f} µs.",
    )


def bare_loop(query: Callable[[], None], queries: int) -> list[int]:
    clock = time.perf_counter_ns
    latencies = []
    for _ in range(queries):
        begin = clock()
        query()
        latencies.append(clock() - begin)
    return latencies


def _per_query_ns(run: Callable[[], object]) -> float:
    begin = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - begin) / NULL_QUERIES
