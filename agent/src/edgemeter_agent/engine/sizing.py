"""How many processes fit, how many queries go between two timestamps, how long is too long: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgemeter_agent.engine.scenarios.arrivals import give_up_after_ns
from edgemeter_agent.engine.scenarios.multi_stream import invocations
from edgemeter_protos.v1 import engine_pb2, plan_pb2

MEMORY_SHARE = 0.8
"""Of the available memory: the rest stays for the agent, the page cache and growth."""
ARTIFACT_FACTOR = 4
"""float16 or int8 weights unpacked to float32, beside the mapped file: a first guess until a peak was
seen."""
OVERHEAD_FACTOR = 20
"""A harness's share of a sample stays below 1/20."""
BLOCK_SAMPLES = 2**17
"""About as many as a block keeps. Ten minutes of a model that takes 5 us are a hundred million, more than
a small board has memory for; a 99th percentile of one block's rests on 1,300 of them."""
UINT32_MAX = 2**32 - 1
HUNG_FACTOR = 10
"""A board that throttles, or that others use too, may be several times slower than it was when asked."""
POINT_READING_NS = 100_000_000
"""At the end of each point of a sustained load: a program may have to be asked (vcgencmd)."""
PROFILING_FACTOR = 10
LEAST_QPS = 0.001
HUNG_AFTER_S = 60.0
"""What even the shortest block is given: swapping, and a page cache to be filled anew."""


def guess_peak_bytes(empty_peak_bytes: int, artifact_bytes: int) -> int:
    """Of a variant's process that has not run yet, from the empty runtime's."""
    return empty_peak_bytes + ARTIFACT_FACTOR * artifact_bytes


def holds_all(available_bytes: int | None, peak_bytes: Sequence[int]) -> bool:
    """Whether all variants' processes fit in memory at once; assumed where the memory can't be read."""
    return available_bytes is None or sum(peak_bytes) <= MEMORY_SHARE * available_bytes


def batch_queries(latency_ns: float, overhead_ns: float) -> int:
    """1, or so many queries that a sample takes at least 20 times the harness's overhead."""
    wanted_ns = OVERHEAD_FACTOR * overhead_ns
    if latency_ns >= wanted_ns:
        return 1
    return math.ceil(wanted_ns / max(latency_ns, 1.0))


def untimed_queries(request: engine_pb2.ChildBlock, latency_ns: float, batch_size: int = 1) -> int:
    """How many queries (or groups of `batch_queries`) go by untimed after each sample, so that a long block
    of a fast model keeps about BLOCK_SAMPLES, or as many as are asked for: every n-th query is timed, and the
    same n in all blocks, so that none weighs more. A server times them all.

    `latency_ns` is of one run of the model, that is of one batch.
    """
    if request.scenario == plan_pb2.SCENARIO_SERVER:
        return 0
    query_ns = latency_ns * _runs(request, batch_size)
    there = request.min_duration_ns / max(query_ns * max(request.batch_queries, 1), 1.0)
    kept = max(request.min_queries, BLOCK_SAMPLES)
    return min(max(math.ceil(there / kept), 1) - 1, UINT32_MAX)


def patience_s(request: engine_pb2.ChildBlock, latency_ns: float, batch_size: int = 1) -> float:
    """How long a block may take before its process counts as hung, from what one run of the model took."""
    warm_up_ns = max(request.warmup_min_queries * latency_ns, request.warmup_min_duration_ns)
    if request.scenario == plan_pb2.SCENARIO_SERVER:
        # What it takes to give up an overloaded block, which ends with the query that is under way.
        arriving_ns = max(
            request.min_queries * 1e9 / max(request.target_qps, LEAST_QPS), request.min_duration_ns
        )
        timed_ns = give_up_after_ns(math.ceil(arriving_ns)) + latency_ns
    else:
        queries = request.min_queries * max(request.batch_queries, 1) * (1 + request.untimed_queries)
        timed_ns = max(queries * latency_ns * _runs(request, batch_size), request.min_duration_ns)
    return HUNG_AFTER_S + HUNG_FACTOR * (warm_up_ns + timed_ns) / 1e9


def window_patience_s(request: engine_pb2.ChildWindow, latency_ns: float) -> float:
    """As `patience_s`, of a window. One is over when its time is, whatever a query takes, but for what is
    read at the points of a sustained load."""
    points = -(-request.duration_ns // request.point_interval_ns) if request.point_interval_ns else 0
    busy_ns = request.warmup_min_queries * latency_ns + latency_ns + points * POINT_READING_NS
    return HUNG_AFTER_S + (HUNG_FACTOR * busy_ns + request.warmup_min_duration_ns + request.duration_ns) / 1e9


def profile_patience_s(queries: int, latency_ns: float) -> float:
    """As `patience_s`, of a profile over so many queries: a profiler may slow a query down by far."""
    return HUNG_AFTER_S + HUNG_FACTOR * PROFILING_FACTOR * (queries + 1) * latency_ns / 1e9


def _runs(request: engine_pb2.ChildBlock, batch_size: int) -> int:
    if request.scenario != plan_pb2.SCENARIO_MULTI_STREAM:
        return 1
    return invocations(request.samples_per_query, batch_size)
