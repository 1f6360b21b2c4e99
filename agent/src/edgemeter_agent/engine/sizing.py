"""How many processes fit, how many queries go between two timestamps, how long is too long: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgemeter_protos.v1 import engine_pb2

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


def untimed_queries(request: engine_pb2.ChildBlock, latency_ns: float) -> int:
    """How many queries (or batches) go by untimed after each sample, so that a long block of a fast model
    keeps about BLOCK_SAMPLES, or as many as are asked for: every n-th query is timed, and the same n in all
    blocks, so that none weighs more."""
    there = request.min_duration_ns / max(latency_ns * max(request.batch_queries, 1), 1.0)
    kept = max(request.min_queries, BLOCK_SAMPLES)
    return min(max(math.ceil(there / kept), 1) - 1, UINT32_MAX)


def patience_s(request: engine_pb2.ChildBlock, latency_ns: float) -> float:
    """How long a block may take before its process counts as hung, from what a query took."""
    warm_up_ns = max(request.warmup_min_queries * latency_ns, request.warmup_min_duration_ns)
    queries = request.min_queries * max(request.batch_queries, 1) * (1 + request.untimed_queries)
    timed_ns = max(queries * latency_ns, request.min_duration_ns)
    return HUNG_AFTER_S + HUNG_FACTOR * (warm_up_ns + timed_ns) / 1e9
