"""How many processes fit, and how many queries go between two timestamps: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

MEMORY_SHARE = 0.8
"""Of the available memory: the rest stays for the agent, the page cache and growth."""
ARTIFACT_FACTOR = 4
"""float16 or int8 weights unpacked to float32, beside the mapped file: a first guess until a peak was
seen."""
OVERHEAD_FACTOR = 20
"""A harness's share of a sample stays below 1/20."""


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
